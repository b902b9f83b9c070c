//! Files of examples that people wrote, whatever their form, as records. A form is a file here and a
//! line in [`FORMATS`].

mod brown;
mod conll;
mod jsonl;
mod table;

use std::path::Path;

use athanor_store::{Error, Registry, Result};

use crate::Record;

/// Records with the `FILE:LINE` where each begins.
pub type Rows = Box<dyn Iterator<Item = Result<(Record, String)>>>;

/// A form of files.
pub struct Format {
    /// Its name in a recipe.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Endings of file names that are taken for it; what packing adds (`.gz`) is behind them.
    pub endings: &'static [&'static str],
    /// The records of a file; the names of the columns, for forms with columns.
    pub open: fn(&Path, &[String]) -> Result<Rows>,
}

/// All forms.
pub static FORMATS: Registry<Format> = Registry::new(
    "form of files",
    &[jsonl::FORMAT, table::CSV, table::TSV, conll::FORMAT, brown::FORMAT],
);

athanor_store::registered!(Format, FORMATS);

/// The form of a file by the ending of its name.
///
/// # Errors
/// Input, naming the known ones.
pub fn by_ending(path: &Path) -> Result<&'static Format> {
    let file = path.file_name().map_or(String::new(), |n| n.to_string_lossy().to_lowercase());
    let packed = [".gz", ".bz2", ".zst"];
    let stem = packed.iter().find_map(|end| file.strip_suffix(end)).unwrap_or(&file);
    let ending = stem.rsplit_once('.').map_or("", |(_, ending)| ending);
    FORMATS.iter().find(|f| f.endings.contains(&ending)).ok_or_else(|| {
        Error::input("the file's name does not tell its form")
            .at(path.display())
            .hint(format!("say which it is with `format`: {}", FORMATS.help()))
    })
}

#[cfg(test)]
mod tests;
