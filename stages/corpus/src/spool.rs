//! Documents wait on disk between steps that must have seen all of them, and between cleaning and
//! tokenising: a corpus may be larger than memory. The files live in the half-made folder and are gone
//! before that folder gets its name.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use athanor_store::{Error, Result};

use crate::{Document, steps::language};

/// Writes documents.
pub(crate) struct Spool {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Spool {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).map_err(|e| Error::io("write", &path, e))?;
        Ok(Self { path, out: BufWriter::with_capacity(1 << 20, file) })
    }

    pub(crate) fn add(&mut self, document: &Document) -> Result<()> {
        let Document { source, id, text, heldout, url, language } = document;
        let mut header = vec![(*source as u64) << 1 | u64::from(*heldout)];
        let fields = [id.as_str(), url, language, text];
        header.extend(fields.iter().map(|f| f.len() as u64));
        let mut bytes: Vec<u8> = header.into_iter().flat_map(u64::to_le_bytes).collect();
        for field in fields {
            bytes.extend(field.as_bytes());
        }
        self.out.write_all(&bytes).map_err(|e| Error::io("write", &self.path, e))
    }

    /// Closes the file for writing; it can be read as often as wanted.
    pub(crate) fn finish(mut self) -> Result<PathBuf> {
        self.out.flush().map_err(|e| Error::io("write", &self.path, e))?;
        Ok(self.path)
    }
}

/// Reads the documents in their order.
pub(crate) fn read(path: &Path) -> Result<impl Iterator<Item = Result<Document>> + use<>> {
    let fail = |path: &Path, e| Error::io("read", path, e);
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(|e| fail(path, e))?);
    let path = path.to_path_buf();
    let mut one = move || -> io::Result<Option<Document>> {
        let mut header = [0; 40];
        match file.read_exact(&mut header) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let number = |n: usize| {
            header[8 * n..8 * n + 8].iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b))
        };
        let mut field = |n: usize| -> io::Result<String> {
            let mut bytes = vec![0; number(n) as usize];
            file.read_exact(&mut bytes)?;
            String::from_utf8(bytes).map_err(io::Error::other)
        };
        let (id, url, language, text) = (field(1)?, field(2)?, field(3)?, field(4)?);
        Ok(Some(Document {
            source: (number(0) >> 1) as usize,
            id,
            text,
            heldout: number(0) & 1 == 1,
            url,
            language: language::known(&language),
        }))
    };
    Ok(std::iter::from_fn(move || one().map_err(|e| fail(&path, e)).transpose()))
}
