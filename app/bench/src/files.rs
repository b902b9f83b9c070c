//! The texts that tokenizers and loaders are measured on, and a folder for what is made of them.

use std::path::{Path, PathBuf};

use athanor_data::records;
use athanor_store::{Error, Result};
use tempfile::TempDir;

use crate::Options;

/// A folder that goes when it is dropped, unless it is to be kept.
pub enum Folder {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Folder {
    pub fn new(options: &Options) -> Result<Self> {
        match &options.keep {
            Some(path) => {
                make(path)?;
                Ok(Self::Kept(path.clone()))
            }
            None => {
                let made = tempfile::Builder::new().prefix("athanor-bench-").tempdir();
                made.map(Self::Temporary)
                    .map_err(|e| Error::io("make a folder in", &std::env::temp_dir(), e))
            }
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// A folder within it.
    pub fn within(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        make(&path)?;
        Ok(path)
    }
}

fn make(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::io("make", path, e))
}

/// Running text: books, Brown's corpus, Chinese; not the ratings: their texts are a sentence or two.
const RUNNING: [&str; 3] = ["brown.jsonl.gz", "books.jsonl.gz", "zh.jsonl.gz"];

/// Those texts, as one would train on them; they pass through files in `folder`.
pub fn texts(options: &Options, folder: &Folder) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for (name, bytes) in options.texts.iter().filter(|(name, _)| RUNNING.contains(name)) {
        let path = folder.path().join(name);
        athanor_store::write_atomic(&path, bytes)?;
        for record in records::open(&path)? {
            all.push(record?.text("text")?.to_owned());
        }
    }
    Ok(all)
}
