//! Plain text: one document a file.

use std::path::Path;

use athanor_data::records;
use athanor_store::Result;

use super::{Documents, short};
use crate::SourceSection;

/// A larger file is given in pieces of about this size, cut at empty lines: memory stays bounded.
const PIECE_BYTES: usize = 16 << 20;

pub(super) fn open(path: &Path, _: &SourceSection) -> Result<Documents> {
    let mut lines = records::lines(path)?;
    let file = short(path);
    let mut piece = 0;
    let mut failed = false;
    Ok(Box::new(std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let mut text = String::new();
        loop {
            match lines.next() {
                Some(Ok(line)) => {
                    let blank = line.trim().is_empty();
                    text.push_str(&line);
                    text.push('\n');
                    // Without empty lines there is no paragraph to keep whole.
                    if text.len() >= PIECE_BYTES && (blank || text.len() >= 2 * PIECE_BYTES) {
                        break;
                    }
                }
                Some(Err(e)) => {
                    failed = true;
                    return Some(Err(e));
                }
                None if text.is_empty() => return None,
                None => break,
            }
        }
        piece += 1;
        let id = if piece == 1 { file.clone() } else { format!("{file}#{piece}") };
        Some(Ok((id, text)))
    })))
}
