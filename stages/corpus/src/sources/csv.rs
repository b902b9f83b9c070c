//! CSV (RFC 4180) and TSV with a header: one document a row, its fields by the header's names.

use athanor_data::Record;
use athanor_store::{Error, Result};
use serde_json::{Map, Value};

use super::{Body, Input, Item, Items, record::Reading};

/// A larger row is an error: a quote that is never closed would take the rest of the file.
const MAX_ROW_BYTES: u64 = 64 << 20;
/// Nor has a header more names.
const MAX_FIELDS: usize = 10_000;

pub(super) fn open(input: &Input) -> Result<Items> {
    let reading = Reading::new(input.source)?;
    let file = input.name();
    let lower = file.to_lowercase();
    let tabs = lower.split('.').any(|part| part == "tsv");
    let limit = super::files::Limited::new(input.reader()?, MAX_ROW_BYTES);
    let row_started = limit.mark();
    let mut rows = csv::ReaderBuilder::new()
        .delimiter(if tabs { b'\t' } else { b',' })
        .flexible(true)
        .from_reader(limit);
    let place = input.path.display().to_string();
    let bad = input.bad();
    let fail = move |e: csv::Error, place: &str| {
        let line = e.position().map_or(String::new(), |p| format!(":{}", p.line()));
        Error::input(format!("bad CSV: {e}"))
            .at(format!("{place}{line}"))
            .hint("the first line names the fields; quotes inside quotes are doubled")
    };
    let header = rows.byte_headers().map_err(|e| fail(e, &place))?.clone();
    let names: Vec<String> = header
        .iter()
        .map(|n| String::from_utf8_lossy(n).trim_start_matches('\u{FEFF}').to_string())
        .collect();
    if names.len() > MAX_FIELDS {
        let what = format!("a header of {} fields, {MAX_FIELDS} at most are read", names.len());
        return Err(Error::input(what).at(&place).hint("is this a CSV file?"));
    }
    let mut row = csv::ByteRecord::new();
    let mut before = rows.position().byte();
    let mut ended = false;
    Ok(Box::new(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        row_started();
        match rows.read_byte_record(&mut row) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(e) => {
                ended = true;
                return Some(Err(fail(e, &place)));
            }
        }
        let (bytes, line) = (rows.position().byte() - before, rows.position().line());
        before = rows.position().byte();
        let id = || format!("{file}:{}", line.saturating_sub(1));
        let error = |what: String| Error::input(what).at(format!("{place}:{line}"));
        if row.len() != names.len() {
            let what = format!("a row of {} fields under a header of {}", row.len(), names.len());
            return Some(bad.record(id(), bytes, "another number of fields", error(what)));
        }
        let mut map = Map::new();
        for (name, field) in names.iter().zip(&row) {
            let Ok(field) = std::str::from_utf8(field) else {
                let what = format!("field `{name}` is not UTF-8 text");
                return Some(bad.record(id(), bytes, "not UTF-8", error(what)));
            };
            map.insert(name.clone(), Value::String(field.into()));
        }
        Some(match reading.of(&Record(map), id) {
            Ok(None) => Ok(Item::skip(id(), bytes, "not wanted (only)")),
            Ok(Some((id, url, text))) => Ok(Item { id, url, bytes, body: Body::Text(text) }),
            Err(e) => bad.record(id(), bytes, "no such text in the record", e.at(&place)),
        })
    })))
}
