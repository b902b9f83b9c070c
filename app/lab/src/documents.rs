//! Documents to evaluate on: JSON lines, plain or gzip, or text files.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use athanor_data::records;
use athanor_store::{Error, Result};

/// The texts of some files, one after the other.
pub struct Documents {
    files: VecDeque<PathBuf>,
    field: String,
    open: Option<records::Records>,
    option: Option<&'static str>,
    by_line: bool,
    lines: Option<records::Lines>,
}

impl Documents {
    /// `field` holds the text of a JSON line; a file of another kind (.txt, .md, .txt.gz) is one
    /// document.
    ///
    /// # Errors
    /// Input, for a file that does not exist.
    pub fn open(files: &[PathBuf], field: &str) -> Result<Self> {
        for file in files {
            std::fs::metadata(file).map_err(|e| Error::io("read", file, e))?;
        }
        Ok(Self {
            files: files.iter().cloned().collect(),
            field: field.to_owned(),
            open: None,
            option: None,
            by_line: false,
            lines: None,
        })
    }

    /// Takes each line of a text file that is not empty for a document.
    #[must_use]
    pub fn lines(self) -> Self {
        Self { by_line: true, ..self }
    }

    /// The command's option that names the field, for errors.
    #[must_use]
    pub fn named(self, option: &'static str) -> Self {
        Self { option: Some(option), ..self }
    }
}

impl Iterator for Documents {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(records) = &mut self.open {
                match records.next() {
                    Some(record) => {
                        let text = record.and_then(|r| {
                            r.text(&self.field).map(str::to_owned).map_err(|e| {
                                let e = e.at(records.place());
                                match self.option {
                                    Some(o) => e.hint(format!("{o} FIELD names the field")),
                                    None => e,
                                }
                            })
                        });
                        return Some(text);
                    }
                    None => self.open = None,
                }
            }
            if let Some(lines) = &mut self.lines {
                match lines.find(|l| l.as_ref().map_or(true, |l| !l.trim().is_empty())) {
                    Some(line) => return Some(line),
                    None => self.lines = None,
                }
            }
            let file = self.files.pop_front()?;
            if is_text(&file) && self.by_line {
                match records::lines(&file) {
                    Ok(lines) => self.lines = Some(lines),
                    Err(e) => return Some(Err(e)),
                }
                continue;
            }
            if is_text(&file) {
                return Some(whole(&file));
            }
            match records::open(&file) {
                Ok(records) => self.open = Some(records),
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

/// Whether a file is plain text, by its name; such a file is one document.
pub fn is_text(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    [".txt", ".text", ".md"].iter().any(|end| name.ends_with(end))
}

/// A text file's text.
///
/// # Errors
/// Those of reading.
pub fn whole(path: &Path) -> Result<String> {
    let mut text = String::new();
    for line in records::lines(path)? {
        text.push_str(&line?);
        text.push('\n');
    }
    Ok(text)
}
