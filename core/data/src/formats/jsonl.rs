//! JSON lines: one object a line.

use std::{iter, path::Path};

use athanor_store::Result;

use super::{Format, Rows};
use crate::records;

pub const FORMAT: Format = Format {
    name: "jsonl",
    about: "one JSON object a line",
    endings: &["jsonl", "ndjson", "json"],
    open,
};

fn open(path: &Path, _: &[String]) -> Result<Rows> {
    let mut records = records::open(path)?;
    Ok(Box::new(iter::from_fn(move || {
        let record = records.next()?;
        Some(record.map(|r| (r, records.place())))
    })))
}
