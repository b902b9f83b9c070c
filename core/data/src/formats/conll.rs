//! Columns of the CoNLL shared tasks: a word and its tags a line, an empty line between sentences. Lines
//! with -DOCSTART- stand between documents. Records have the lists `words` and `labels`.
//!
//! The word is in the first column and the label in the last (CoNLL-2003), unless `columns` names two of
//! them `word` and `label`; then lines that begin with `#` and have no tab are remarks (CoNLL-U).

use std::{iter, path::Path};

use athanor_store::{Error, Result};
use serde_json::json;

use super::{Format, Rows};
use crate::{Record, records};

pub const FORMAT: Format = Format {
    name: "conll",
    about: "a word and its tags a line, an empty line between sentences",
    endings: &["conll", "conllu", "bio", "iob", "iob2"],
    open,
};

fn open(path: &Path, columns: &[String]) -> Result<Rows> {
    let place_of = |name: &str| columns.iter().position(|c| c == name);
    let chosen = match (columns.is_empty(), place_of("word"), place_of("label")) {
        (true, ..) => None,
        (false, Some(word), Some(label)) => Some((word, label)),
        _ => {
            return Err(Error::input(format!(
                "the columns are {}, none of them is `word` or none `label`",
                columns.join(", ")
            ))
            .hint("name all columns in their order; two of them must be `word` and `label`"));
        }
    };
    let mut width = (!columns.is_empty()).then_some(columns.len());
    let mut lines = records::lines(path)?;
    let mut ended = false;
    Ok(Box::new(iter::from_fn(move || {
        let (mut words, mut labels, mut place) = (Vec::new(), Vec::new(), String::new());
        while !ended {
            let line = match lines.next() {
                None => {
                    ended = true;
                    break;
                }
                Some(Err(e)) => {
                    ended = true;
                    return Some(Err(e));
                }
                Some(Ok(line)) => line,
            };
            let line = line.trim_end();
            let fields: Vec<&str> = match line.contains('\t') {
                true => line.split('\t').collect(),
                false => line.split_whitespace().collect(),
            };
            let between = fields.is_empty() || fields[0] == "-DOCSTART-";
            match between {
                true if words.is_empty() => continue,
                true => break,
                false => {}
            }
            if chosen.is_some() && line.starts_with('#') && !line.contains('\t') {
                continue;
            }
            let expected = *width.get_or_insert(fields.len());
            if fields.len() != expected || fields.len() < 2 {
                ended = true;
                let found: String = line.chars().take(60).collect();
                let what = match expected {
                    0 | 1 => "a word and its label were expected".to_owned(),
                    n => format!("{n} columns were expected"),
                };
                return Some(Err(Error::input(format!(
                    "{what}, found {} in {found:?}",
                    fields.len()
                ))
                .at(lines.place())
                .hint("columns stand between tabs or spaces, as many in each line; an empty line ends a sentence")));
            }
            if words.is_empty() {
                place = lines.place();
            }
            let (word, label) = chosen.unwrap_or((0, fields.len() - 1));
            words.push(fields[word].to_owned());
            labels.push(fields[label].to_owned());
        }
        if words.is_empty() {
            return None;
        }
        let record = json!({ "words": words, "labels": labels });
        Some(Ok((Record(record.as_object().cloned().unwrap_or_default()), place)))
    })))
}
