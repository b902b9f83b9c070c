//! The Brown corpus' tagged text (Francis and Kučera 1979): `word/tag` between spaces, a sentence a line.
//! `# NAME` begins a document. A word may have a slash, a tag has none. Records have `document`, and the
//! lists `words` and `labels`.

use std::{iter, path::Path};

use athanor_store::{Error, Result};
use serde_json::json;

use super::{Format, Rows};
use crate::{Record, records};

pub const FORMAT: Format = Format {
    name: "brown",
    about: "word/tag between spaces, a sentence a line",
    endings: &["tagged"],
    open,
};

fn open(path: &Path, _: &[String]) -> Result<Rows> {
    let mut lines = records::lines(path)?;
    let mut document = String::new();
    let mut ended = false;
    Ok(Box::new(iter::from_fn(move || {
        while !ended {
            let line = match lines.next()? {
                Ok(line) => line,
                Err(e) => {
                    ended = true;
                    return Some(Err(e));
                }
            };
            if let Some(name) = line.strip_prefix("# ").filter(|name| !name.contains('/')) {
                document = name.trim().to_owned();
                continue;
            }
            let pairs: Vec<Option<(&str, &str)>> = line
                .split_whitespace()
                .map(|token| {
                    token.rsplit_once('/').filter(|(word, tag)| !word.is_empty() && !tag.is_empty())
                })
                .collect();
            if pairs.is_empty() {
                continue;
            }
            if let Some(bad) = pairs.iter().position(Option::is_none) {
                ended = true;
                let found = line.split_whitespace().nth(bad).unwrap_or_default();
                let found: String = found.chars().take(60).collect();
                return Some(Err(Error::input(format!("word/tag was expected, found {found:?}"))
                    .at(lines.place())
                    .hint("each word is followed by a slash and its tag, a sentence a line")));
            }
            let (words, labels): (Vec<&str>, Vec<&str>) = pairs.into_iter().flatten().unzip();
            let record = json!({ "document": document, "words": words, "labels": labels });
            let record = Record(record.as_object().cloned().unwrap_or_default());
            return Some(Ok((record, lines.place())));
        }
        None
    })))
}
