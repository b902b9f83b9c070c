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
        Ok(Self { files: files.iter().cloned().collect(), field: field.to_owned(), open: None })
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
                                e.at(records.place()).hint("--text FIELD names the field")
                            })
                        });
                        return Some(text);
                    }
                    None => self.open = None,
                }
            }
            let file = self.files.pop_front()?;
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

fn is_text(path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    [".txt", ".text", ".md"].iter().any(|end| name.ends_with(end))
}

fn whole(path: &Path) -> Result<String> {
    let mut text = String::new();
    for line in records::lines(path)? {
        text.push_str(&line?);
        text.push('\n');
    }
    Ok(text)
}
