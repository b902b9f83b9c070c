//! Documents wait on disk between steps that must have seen all of them, and between cleaning and
//! tokenising: a corpus may be larger than memory.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use athanor_store::{Error, Result};

use crate::{Document, steps::language};

/// Writes documents.
pub(crate) struct Spool<'a> {
    path: &'a Path,
    out: &'a mut dyn Write,
}

impl<'a> Spool<'a> {
    /// Writes to `out`, which is the file at `path`.
    pub(crate) fn new(path: &'a Path, out: &'a mut dyn Write) -> Self {
        Self { path, out }
    }

    pub(crate) fn add(&mut self, document: &Document) -> Result<()> {
        let Document { source, id, text, heldout, url, language, quality } = document;
        let mut header = vec![
            (*source as u64) << 1 | u64::from(*heldout),
            u64::from(quality.unwrap_or(f32::NAN).to_bits()),
        ];
        let fields = [id.as_str(), url, language, text];
        header.extend(fields.iter().map(|f| f.len() as u64));
        let mut bytes: Vec<u8> = header.into_iter().flat_map(u64::to_le_bytes).collect();
        for field in fields {
            bytes.extend(field.as_bytes());
        }
        self.out.write_all(&bytes).map_err(|e| Error::io("write", self.path, e))
    }
}

/// Reads records with a header of `N` bytes, one at a time, each by `of`.
pub(crate) fn records<const N: usize, T, F>(
    path: &Path,
    of: F,
) -> Result<impl Iterator<Item = Result<T>> + use<N, T, F>>
where
    F: Fn(&[u8; N], &mut BufReader<File>) -> io::Result<T>,
{
    let fail = |path: &Path, e| Error::io("read", path, e);
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(|e| fail(path, e))?);
    let path = path.to_path_buf();
    let mut one = move || -> io::Result<Option<T>> {
        let mut header = [0; N];
        match file.read_exact(&mut header) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(e),
            Ok(()) => of(&header, &mut file).map(Some),
        }
    };
    Ok(std::iter::from_fn(move || one().map_err(|e| fail(&path, e)).transpose()))
}

/// Reads the documents in their order.
pub(crate) fn read(path: &Path) -> Result<impl Iterator<Item = Result<Document>> + use<>> {
    records(path, |header: &[u8; 48], file| {
        let numbers = header.as_chunks::<8>().0;
        let number = |n: usize| u64::from_le_bytes(numbers[n]);
        let mut field = |n: usize| -> io::Result<String> {
            let mut bytes = vec![0; number(n) as usize];
            file.read_exact(&mut bytes)?;
            String::from_utf8(bytes).map_err(io::Error::other)
        };
        let (id, url, language, text) = (field(2)?, field(3)?, field(4)?, field(5)?);
        Ok(Document {
            source: (number(0) >> 1) as usize,
            id,
            text,
            heldout: number(0) & 1 == 1,
            url,
            language: language::known(&language),
            quality: Some(f32::from_bits(number(1) as u32)).filter(|q| !q.is_nan()),
        })
    })
}

/// Reads the documents of several files, one after the other.
pub(crate) fn read_all(paths: Vec<PathBuf>) -> impl Iterator<Item = Result<Document>> {
    paths.into_iter().flat_map(|path| -> Box<dyn Iterator<Item = Result<Document>>> {
        match read(&path) {
            Ok(documents) => Box::new(documents),
            Err(e) => Box::new(std::iter::once(Err(e))),
        }
    })
}
