//! Parquet: one document a row, as data sets on the Hugging Face hub come. Columns are fields, as in JSON lines:
//! groups are objects, lists are arrays, dates and decimals are text, bytes that are no text are null. Only the
//! columns that the recipe asks for are read. Pages may be packed with Snappy, gzip, Zstandard, Brotli or LZ4.

mod footer;
mod pages;
mod rows;

use std::{
    cell::Cell,
    fs::File,
    panic,
    sync::{Arc, Once},
};

use athanor_data::{Record, compressed::Counts, records::MAX_LINE_BYTES};
use athanor_store::{Error, Result};
use parquet::{
    errors::ParquetError,
    file::{metadata::ParquetMetaData, reader::Length},
};
use serde_json::{Map, Value};

use self::{
    footer::Whole,
    rows::{Draft, Node},
};
use super::{Body, Input, Item, Items, files::is_stdin, record::Reading, until_error};

pub(super) fn open(input: &Input) -> Result<Items> {
    if is_stdin(input.path) {
        let error = Error::input("Parquet has its index at the end: it cannot be read as it comes");
        return Err(error.at("standard input").hint("write it to a file, and name that"));
    }
    let reading = Reading::new(input.source)?;
    let path = input.path.to_path_buf();
    let fail = |e| Error::io("read", &path, e);
    let whole = Whole::new(File::open(&path).map_err(fail)?).map_err(fail)?;
    let counts = Arc::new(Counts::default());
    input.tally.add(counts.clone());
    let place = path.display().to_string();
    let damaged = move |what: String| {
        let error = Error::input(format!("not a Parquet file that can be read: {what}")).at(&place);
        error.hint("is it whole? copy or download the file again")
    };
    let mut rows = caught(|| Rows::open(whole, &reading)).map_err(&damaged)?;
    let (file, bad) = (input.name(), input.bad());
    let (mut number, mut packed) = (0usize, 0);
    let items = until_error(move || {
        let row = caught(|| rows.next());
        // What was passed over in the file counts, too, as it does in other formats.
        counts.add(rows.passed.saturating_sub(packed), 0);
        packed = packed.max(rows.passed);
        let Some((fields, fault)) = row.map_err(&damaged)? else { return Ok(None) };
        number += 1;
        let record = Record(fields);
        // A row has no bytes of its own: those of its values.
        let bytes: u64 = record.0.values().map(size_of_value).sum();
        counts.add(0, bytes);
        let id = || format!("{file}:{number}");
        let place = || format!("{}:{number}", path.display());
        if let Some(fault) = fault {
            return Ok(Some(bad.record(id(), bytes, fault, Error::input(fault).at(place()))));
        }
        Ok(Some(match reading.of(&record, id) {
            Ok(None) => Ok(Item::skip(id(), bytes, "not wanted (only)")),
            Ok(Some((id, url, text))) => Ok(Item { id, url, bytes, body: Body::Text(text) }),
            Err(e) => bad.record(id(), bytes, "no such text in the record", e.at(place())),
        }))
    });
    Ok(Box::new(items.map(Result::flatten)))
}

/// The rows of a file, one group after the other.
struct Rows {
    file: Arc<Whole>,
    index: ParquetMetaData,
    /// The fields that are read; all, if one that is wanted is not there, for the message's sake.
    wanted: Option<Vec<String>>,
    group: usize,
    fields: Vec<(String, Node)>,
    left: u64,
    /// Bytes of the file behind us, whether they were read or not.
    passed: u64,
}

impl Rows {
    fn open(file: Whole, reading: &Reading) -> parquet::errors::Result<Self> {
        let index = footer::read(&file)?;
        let names: Vec<&str> =
            index.file_metadata().schema().get_fields().iter().map(|f| f.name()).collect();
        let wanted = reading.fields().filter(|wanted| {
            !wanted.is_empty() && wanted.iter().all(|w| names.contains(&w.as_str()))
        });
        let wanted = wanted.map(|mut wanted| {
            wanted.extend(["id".to_string(), "url".to_string()]);
            wanted
        });
        if names.is_empty() {
            return footer::error("it has no columns");
        }
        let file = Arc::new(file);
        Ok(Self { file, index, wanted, group: 0, fields: Vec::new(), left: 0, passed: 0 })
    }

    fn next(&mut self) -> parquet::errors::Result<Option<Row>> {
        while self.left == 0 {
            if self.group == self.index.num_row_groups() {
                self.passed = self.file.len();
                return Ok(None);
            }
            let group = self.index.row_group(self.group);
            let Ok(rows) = u64::try_from(group.num_rows()) else {
                return footer::error("a group of less than no rows");
            };
            let wanted =
                |name: &str| self.wanted.as_ref().is_none_or(|w| w.iter().any(|w| w == name));
            self.fields = rows::fields(&self.file, group, wanted)?;
            let packed = group.columns().iter().map(|c| c.compressed_size().max(0) as u64);
            let packed = packed.fold(self.passed, u64::saturating_add);
            self.passed = packed.min(self.file.len());
            self.left = rows;
            self.group += 1;
        }
        let mut draft = Draft { left: MAX_LINE_BYTES, fault: None };
        let mut out = Map::new();
        for (name, field) in &mut self.fields {
            field.row()?;
            out.insert(name.clone(), field.value(&mut draft)?);
        }
        self.left -= 1;
        Ok(Some((out, draft.fault)))
    }
}

/// A row's fields, or why it is no record.
type Row = (Map<String, Value>, Option<&'static str>);

/// The parser's panics on crafted files become errors, and are not shown as if the program had broken down.
fn caught<T>(work: impl FnOnce() -> parquet::errors::Result<T>) -> std::result::Result<T, String> {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(panic::AssertUnwindSafe(work));
    QUIET.set(false);
    match result {
        Ok(Ok(result)) => Ok(result),
        // Without the crate's own "Parquet error:".
        Ok(Err(ParquetError::General(what))) => Err(what),
        Ok(Err(e)) => Err(e.to_string()),
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
