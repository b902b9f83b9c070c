//! CSV (RFC 4180) and TSV with a header: one document a row, its fields by the header's names.

use athanor_data::{
    Record,
    table::{MAX_FIELDS, Row, Table},
};
use athanor_store::{Error, Result};
use serde_json::{Map, Value};

use super::{Body, Input, Item, Items, TOO_LONG, record::Reading};

pub(super) fn open(input: &Input) -> Result<Items> {
    let reading = Reading::new(input.source)?;
    let file = input.name();
    let lower = file.to_lowercase();
    let tabs = lower.split('.').any(|part| part == "tsv");
    let most = input.most();
    let mut rows = Table::of(input.reader()?, if tabs { b'\t' } else { b',' }, true, most);
    let bad = input.bad();
    let names: Vec<String> = match rows.read()? {
        Row::End => Vec::new(),
        Row::Whole => rows
            .fields()
            .map(|n| String::from_utf8_lossy(n).trim_start_matches('\u{FEFF}').to_string())
            .collect(),
        Row::TooLong => {
            let what = format!(
                "a header of more than {MAX_FIELDS} fields or of more than max_record_bytes = {most}"
            );
            return Err(Error::input(what)
                .at(rows.place())
                .hint("the first line names the fields; is this a CSV file?"));
        }
    };
    let mut ended = false;
    Ok(Box::new(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let found = match rows.read() {
            Ok(Row::End) => return None,
            Ok(found) => found,
            Err(e) => {
                ended = true;
                return Some(Err(e));
            }
        };
        let bytes = rows.bytes();
        let id = || format!("{file}:{}", rows.line());
        let error = |what: String| Error::input(what).at(rows.place());
        if found == Row::TooLong {
            let what = format!(
                "a row of {bytes} bytes, or of more than {MAX_FIELDS} fields; max_record_bytes is {most}"
            );
            let error =
                error(what).hint("is a quote never closed? quotes inside quotes are doubled");
            return Some(bad.record(id(), bytes, TOO_LONG, error));
        }
        let fields = rows.fields();
        if fields.len() != names.len() {
            let what =
                format!("a row of {} fields under a header of {}", fields.len(), names.len());
            return Some(bad.record(id(), bytes, "another number of fields", error(what)));
        }
        let mut map = Map::new();
        for (name, field) in names.iter().zip(fields) {
            let Ok(field) = std::str::from_utf8(field) else {
                let what = format!("field `{name}` is not UTF-8 text");
                return Some(bad.record(id(), bytes, "not UTF-8", error(what)));
            };
            map.insert(name.clone(), Value::String(field.into()));
        }
        Some(match reading.of(&Record(map), id) {
            Ok(None) => Ok(Item::skip(id(), bytes, "not wanted (only)")),
            Ok(Some((id, url, text))) => Ok(Item { id, url, bytes, body: Body::Text(text) }),
            Err(e) => bad.record(id(), bytes, "no such text in the record", e.at(rows.place())),
        })
    })))
}
