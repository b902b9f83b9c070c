//! Plain text: one document a file.

use athanor_data::records::Lines;
use athanor_store::Result;

use super::{Input, Item, Items, TOO_LONG};

/// A larger file is given in pieces of about this size, cut at empty lines: memory stays bounded.
const PIECE_BYTES: usize = 16 << 20;

pub(super) fn open(input: &Input) -> Result<Items> {
    let mut lines = Lines::of(input.reader()?).at_most(input.most());
    if input.source.skips() {
        lines = lines.lenient();
    }
    let (file, bad) = (input.name(), input.bad());
    let mut piece = 0;
    let mut failed = false;
    let mut pending = None;
    Ok(Box::new(std::iter::from_fn(move || {
        if let Some(bad) = pending.take() {
            return Some(bad);
        }
        if failed {
            return None;
        }
        let mut text = String::new();
        let mut bytes = 0;
        loop {
            match lines.next() {
                Some(Ok(line)) => {
                    bytes += lines.line_bytes();
                    let blank = line.trim().is_empty();
                    text.push_str(&line);
                    text.push('\n');
                    // Without empty lines there is no paragraph to keep whole.
                    if text.len() >= PIECE_BYTES && (blank || text.len() >= 2 * PIECE_BYTES) {
                        break;
                    }
                }
                Some(Err(e)) if lines.ended() => {
                    failed = true;
                    return Some(Err(e));
                }
                // The text before and after it is not one text.
                Some(Err(e)) => {
                    let reason = if lines.too_long() { TOO_LONG } else { "bad line" };
                    pending = Some(bad.record(lines.place(), lines.line_bytes(), reason, e));
                    if text.is_empty() {
                        return pending.take();
                    }
                    break;
                }
                None if text.is_empty() => return None,
                None => break,
            }
        }
        piece += 1;
        let id = if piece == 1 { file.clone() } else { format!("{file}#{piece}") };
        Some(Ok(Item::text(id, bytes, text)))
    })))
}
