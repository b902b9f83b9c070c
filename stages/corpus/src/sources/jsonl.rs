//! JSON lines: one document a line.

use athanor_data::records::Records;
use athanor_store::Result;

use super::{Body, Input, Item, Items, TOO_LONG, record::Reading};

pub(super) fn open(input: &Input) -> Result<Items> {
    let reading = Reading::new(input.source)?;
    let mut records = Records::of(input.reader()?).at_most(input.most());
    if input.source.skips() {
        records = records.lenient();
    }
    let (file, bad) = (input.name(), input.bad());
    let mut line = 0usize;
    Ok(Box::new(std::iter::from_fn(move || {
        let record = match records.next()? {
            Ok(record) => record,
            Err(e) if records.ended() => return Some(Err(e)),
            Err(e) => {
                line += 1;
                let bytes = records.line_bytes();
                let reason = if records.too_long() { TOO_LONG } else { "bad line" };
                return Some(bad.record(format!("{file}:{line}"), bytes, reason, e));
            }
        };
        line += 1;
        let bytes = records.line_bytes();
        match reading.of(&record, || format!("{file}:{line}")) {
            Ok(None) => Some(Ok(Item::skip(format!("{file}:{line}"), bytes, "not wanted (only)"))),
            Ok(Some((id, url, text))) => Some(Ok(Item { id, url, bytes, body: Body::Text(text) })),
            Err(e) => {
                let e = e.at(records.place());
                let id = format!("{file}:{line}");
                Some(bad.record(id, bytes, "no such text in the record", e))
            }
        }
    })))
}
