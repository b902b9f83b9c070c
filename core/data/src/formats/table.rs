//! Tables whose first line names the columns, unless the recipe does: CSV (RFC 4180), and TSV as GLUE has
//! it, where quotes mean nothing.

use std::{iter, path::Path};

use athanor_store::{Error, Result};
use serde_json::{Map, Value};

use super::{Format, Rows};
use crate::{Record, compressed};

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

fn open(path: &Path, columns: &[String], delimiter: u8, quoting: bool) -> Result<Rows> {
    let mut rows = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .quoting(quoting)
        .flexible(true)
        .has_headers(columns.is_empty())
        .from_reader(compressed::open(path)?);
    let file = path.display().to_string();
    let bad = move |e: &csv::Error| {
        let line = e.position().map_or(String::new(), |p| format!(":{}", p.line()));
        Error::input(format!("bad table: {e}"))
            .at(format!("{file}{line}"))
            .hint("one row a line; quotes inside quotes are doubled; the text is UTF-8")
    };
    let names: Vec<String> = match columns.is_empty() {
        true => {
            let header = rows.headers().map_err(|e| bad(&e))?;
            header.iter().map(|n| n.trim_start_matches('\u{FEFF}').to_owned()).collect()
        }
        false => columns.to_vec(),
    };
    let path = path.display().to_string();
    let mut row = csv::StringRecord::new();
    let mut ended = false;
    Ok(Box::new(iter::from_fn(move || {
        if ended {
            return None;
        }
        let fail = match rows.read_record(&mut row) {
            Ok(false) => return None,
            Ok(true) => {
                let line = row.position().map_or(0, csv::Position::line);
                let place = format!("{path}:{line}");
                if row.len() == names.len() {
                    let fields = names.iter().zip(&row);
                    let map: Map<String, Value> =
                        fields.map(|(n, v)| (n.clone(), v.into())).collect();
                    return Some(Ok((Record(map), place)));
                }
                Error::input(format!("{} columns, {} were expected", row.len(), names.len()))
                    .at(place)
                    .hint(format!("the columns are {}", names.join(", ")))
            }
            Err(e) => bad(&e),
        };
        ended = true;
        Some(Err(fail))
    })))
}
