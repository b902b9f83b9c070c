//! Tables. The first line names the columns, unless the recipe does: CSV (RFC 4180), and TSV as GLUE has
//! it, where quotes mean nothing.

use std::{iter, path::Path};

use athanor_store::{Error, Result};
use serde_json::{Map, Value};

use super::{Format, Rows};
use crate::{
    Record, compressed,
    table::{MAX_FIELDS, Row, Table},
};

pub const CSV: Format = Format {
    name: "csv",
    about: "columns between commas, quotes as in RFC 4180",
    endings: &["csv"],
    open: |path, columns| open(path, columns, b',', true),
};

pub const TSV: Format = Format {
    name: "tsv",
    about: "columns between tabs, without quoting, as in GLUE",
    endings: &["tsv", "tab"],
    open: |path, columns| open(path, columns, b'\t', false),
};

/// A longer row is an error: a quote that is never closed would take the rest of the file.
const MAX_ROW_BYTES: usize = 64 << 20;

fn open(path: &Path, columns: &[String], delimiter: u8, quoting: bool) -> Result<Rows> {
    let mut rows = Table::of(compressed::open(path)?, delimiter, quoting, MAX_ROW_BYTES);
    let hint = "one row a line; quotes inside quotes are doubled; the text is UTF-8";
    let mut names = columns.to_vec();
    if names.is_empty() && row(&mut rows)? {
        let fields: Vec<String> = texts(&rows).map_err(|e| e.hint(hint))?;
        names = fields.iter().map(|n| n.trim_start_matches('\u{FEFF}').to_owned()).collect();
    }
    let mut ended = false;
    Ok(Box::new(iter::from_fn(move || {
        if ended {
            return None;
        }
        let next = row(&mut rows).and_then(|more| {
            if !more {
                return Ok(None);
            }
            let fields = texts(&rows)?;
            if fields.len() == names.len() {
                let fields = names.iter().zip(fields);
                let map: Map<String, Value> = fields.map(|(n, v)| (n.clone(), v.into())).collect();
                return Ok(Some((Record(map), rows.place())));
            }
            Err(Error::input(format!("{} columns, {} were expected", fields.len(), names.len()))
                .at(rows.place())
                .hint(format!("the columns are {}", names.join(", "))))
        });
        ended = !matches!(next, Ok(Some(_)));
        next.map_err(|e| e.hint(hint)).transpose()
    })))
}

/// Whether there is another row.
fn row(rows: &mut Table) -> Result<bool> {
    match rows.read()? {
        Row::End => Ok(false),
        Row::Whole => Ok(true),
        Row::TooLong => Err(Error::input(format!(
            "bad table: a row of more than {} MiB or {MAX_FIELDS} columns",
            MAX_ROW_BYTES >> 20
        ))
        .at(rows.place())),
    }
}

fn texts(rows: &Table) -> Result<Vec<String>> {
    let text = |(n, field): (usize, &[u8])| {
        String::from_utf8(field.to_vec()).map_err(|_| {
            Error::input(format!("bad table: column {} is not UTF-8 text", n + 1)).at(rows.place())
        })
    };
    rows.fields().enumerate().map(text).collect()
}
