//! Parquet: one document a row, as data sets on the Hugging Face hub come. Columns are fields, as in JSON lines.
//! Pages may be packed with Snappy, gzip, Brotli or LZ4; Zstandard needs a C library and the cargo feature `zstd`.

use std::{fs::File, panic, sync::Arc};

use athanor_data::{Record, compressed::Counts};
use athanor_store::{Error, Result};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::reader::RowIter,
};
use serde_json::Value;

use super::{Body, Input, Item, Items, record::Reading};

pub(super) fn open(input: &Input) -> Result<Items> {
    let reading = Reading::new(input.source)?;
    let path = input.path.to_path_buf();
    let fail = |e| Error::io("read", &path, e);
    let opened = File::open(&path).map_err(fail)?;
    let size = opened.metadata().map_err(fail)?.len();
    let counts = Arc::new(Counts::default());
    input.tally.add(counts.clone());
    let place = path.display().to_string();
    let damaged = move |what: String| {
        let unpacks = what.to_lowercase().contains("zstd");
        let error = Error::input(format!("not a Parquet file that can be read: {what}")).at(&place);
        match unpacks {
            true => error.hint("write it with snappy, or build with `--features zstd`"),
            false => error.hint("is it whole? Parquet has its index at the end"),
        }
    };
    let mut rows = caught(|| {
        let reader = SerializedFileReader::new(opened).map_err(|e| e.to_string())?;
        Ok(RowIter::from_file_into(Box::new(reader) as Box<dyn FileReader>))
    })
    .map_err(&damaged)?;
    counts.add(size, 0);
    let (file, bad) = (input.name(), input.bad());
    let (mut number, mut ended) = (0usize, false);
    Ok(Box::new(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let next = caught(|| rows.next().transpose().map_err(|e| e.to_string()));
        let row = match next {
            Ok(Some(row)) => row,
            Ok(None) => return None,
            Err(e) => {
                ended = true;
                return Some(Err(damaged(e)));
            }
        };
        number += 1;
        let Value::Object(fields) = row.to_json_value() else { return None };
        let record = Record(fields);
        // Parquet knows no bytes of a row: those of its fields' values.
        let bytes: u64 = record.0.values().map(size_of_value).sum();
        counts.add(0, bytes);
        let id = || format!("{file}:{number}");
        Some(match reading.of(&record, id) {
            Ok(None) => Ok(Item::skip(id(), bytes, "not wanted (only)")),
            Ok(Some((id, url, text))) => Ok(Item { id, url, bytes, body: Body::Text(text) }),
            Err(e) => bad.record(id(), bytes, "no such text in the record", e.at(id())),
        })
    })))
}

/// The parser's panics on crafted files become errors.
fn caught<T>(
    work: impl FnOnce() -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    match panic::catch_unwind(panic::AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(_) => Err("its parts contradict each other".into()),
    }
}

fn size_of_value(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(list) => list.iter().map(size_of_value).sum(),
        Value::Object(map) => map.values().map(size_of_value).sum(),
        Value::Null => 0,
        _ => 8,
    }
}
