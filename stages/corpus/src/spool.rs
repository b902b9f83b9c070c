//! Kept documents wait on disk between cleaning and tokenising: a corpus may be larger than memory.
//! The file lives in the half-made folder and is gone before that folder gets its name.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use athanor_store::{Error, Result};

use crate::Document;

/// Writes documents.
pub(crate) struct Spool {
    path: PathBuf,
    out: BufWriter<File>,
}

/// One document, as far as tokenising needs it.
pub(crate) struct Kept {
    pub(crate) source: usize,
    pub(crate) heldout: bool,
    pub(crate) text: String,
}

impl Spool {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).map_err(|e| Error::io("write", &path, e))?;
        Ok(Self { path, out: BufWriter::with_capacity(1 << 20, file) })
    }

    pub(crate) fn add(&mut self, document: &Document) -> Result<()> {
        let header = [
            (document.source as u64) << 1 | u64::from(document.heldout),
            document.text.len() as u64,
        ];
        let bytes = header.map(u64::to_le_bytes).concat();
        (self.out.write_all(&bytes))
            .and_then(|()| self.out.write_all(document.text.as_bytes()))
            .map_err(|e| Error::io("write", &self.path, e))
    }

    /// Closes the file for writing; it can be read as often as wanted.
    pub(crate) fn finish(mut self) -> Result<PathBuf> {
        self.out.flush().map_err(|e| Error::io("write", &self.path, e))?;
        Ok(self.path)
    }
}

/// Reads the documents in their order.
pub(crate) fn read(path: &Path) -> Result<impl Iterator<Item = Result<Kept>>> {
    let fail = |path: &Path, e| Error::io("read", path, e);
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(|e| fail(path, e))?);
    let path = path.to_path_buf();
    let mut one = move || -> io::Result<Option<Kept>> {
        let mut header = [0; 16];
        match file.read_exact(&mut header) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let number =
            |at: usize| header[at..at + 8].iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
        let mut bytes = vec![0; number(8) as usize];
        file.read_exact(&mut bytes)?;
        let text = String::from_utf8(bytes).map_err(io::Error::other)?;
        Ok(Some(Kept { source: (number(0) >> 1) as usize, heldout: number(0) & 1 == 1, text }))
    };
    Ok(std::iter::from_fn(move || one().map_err(|e| fail(&path, e)).transpose()))
}
