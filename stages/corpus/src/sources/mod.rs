//! Sources: files and folders as documents. A format is one file here and one line in [`FORMATS`].

mod jsonl;
mod text;

use std::path::{Path, PathBuf};

use athanor_store::{Error, Result};

use crate::SourceSection;

/// A document as a source gives it: its name and its text.
pub type Raw = (String, String);

/// The documents of one file.
pub type Documents = Box<dyn Iterator<Item = Result<Raw>>>;

/// A way to read a file.
pub struct Format {
    /// Its name in a recipe.
    pub name: &'static str,
    /// Endings of files' names (without `.gz`) that are read this way by `format = "auto"`.
    pub endings: &'static [&'static str],
    /// Opens a file.
    pub open: fn(&Path, &SourceSection) -> Result<Documents>,
}

/// All formats.
pub static FORMATS: &[Format] = &[
    Format { name: "jsonl", endings: &["jsonl", "ndjson", "json"], open: jsonl::open },
    Format { name: "text", endings: &["txt", "text", "md"], open: text::open },
];

/// The documents of a source, file after file.
///
/// # Errors
/// Input: a path that is not there, a folder without files, a file whose name tells no format. From
/// the iterator: those of the format.
pub fn open(path: &Path, source: &SourceSection) -> Result<Documents> {
    let mut files = Vec::new();
    for file in list(path)? {
        files.push((format(&file, path, source)?, file));
    }
    let source = source.clone();
    let documents = files.into_iter().flat_map(move |(format, file)| -> Documents {
        match (format.open)(&file, &source) {
            Ok(documents) => documents,
            Err(e) => Box::new(std::iter::once(Err(e))),
        }
    });
    Ok(Box::new(documents))
}

fn format(file: &Path, root: &Path, source: &SourceSection) -> Result<&'static Format> {
    if let Some(format) = FORMATS.iter().find(|f| f.name == source.format) {
        return Ok(format);
    }
    let name = file.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    FORMATS.iter().find(|f| f.endings.contains(&ending)).ok_or_else(|| {
        let hint = if file == root {
            "give its format: format = \"jsonl\" or \"text\""
        } else {
            "give the files' format (format = \"jsonl\" or \"text\"), or move this file away"
        };
        Error::input("the file's name does not tell its format").at(file.display()).hint(hint)
    })
}

/// The files of a folder and of those below, sorted by path; hidden ones are left out.
fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let fail = |e| Error::io("read", path, e);
    if !std::fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            entries.push(entry.path());
        }
    }
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        files.extend(list(&entry)?);
    }
    if files.is_empty() {
        return Err(Error::input("the folder has no files").at(path.display()));
    }
    Ok(files)
}

/// A file's name without its folder.
fn short(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
