//! Sources: files and folders as documents. A format is one file here and one line in [`FORMATS`].

mod charset;
mod csv;
mod epub;
mod files;
pub mod html;
mod jsonl;
mod mediawiki;
mod parquet;
mod record;
pub mod remote;
mod section;
mod stackexchange;
mod text;
mod warc;
pub mod wikitext;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use athanor_data::compressed::{self, Counts, Reader};
use athanor_store::{Error, Registry, Result};

pub use files::{SourceFile, files, found, is_stdin};
use remote::Feed;
pub use section::SourceSection;

/// A record of a file, as a source gives it.
pub struct Item {
    /// Its name within the source.
    pub id: String,
    /// Where on the web it is from; empty if not known.
    pub url: String,
    /// Bytes of the record that it was made from, unpacked.
    pub bytes: u64,
    /// Its text.
    pub body: Body,
}

/// A record's text.
pub enum Body {
    /// Here it is.
    Text(String),
    /// There is none, for this reason.
    Skip(&'static str),
    /// Still to be made; that is done on all cores.
    Later(Box<dyn FnOnce() -> Converted + Send>),
}

/// A text, or the reason why there is none.
pub type Converted = std::result::Result<String, &'static str>;

impl Item {
    fn text(id: String, bytes: u64, text: String) -> Self {
        Self { id, url: String::new(), bytes, body: Body::Text(text) }
    }

    fn skip(id: String, bytes: u64, reason: &'static str) -> Self {
        Self { id, url: String::new(), bytes, body: Body::Skip(reason) }
    }

    fn later(id: String, bytes: u64, make: impl FnOnce() -> Converted + Send + 'static) -> Self {
        Self { id, url: String::new(), bytes, body: Body::Later(Box::new(make)) }
    }
}

/// The records of one file. After an error there may be more, if bad records are skipped.
pub type Items = Box<dyn Iterator<Item = Result<Item>>>;

/// A file to be read.
pub struct Input<'a> {
    /// Where it is; `-` is standard input.
    pub path: &'a Path,
    /// What the recipe says of it.
    pub source: &'a SourceSection,
    tally: &'a Tally,
}

impl Input<'_> {
    fn reader(&self) -> Result<Reader> {
        let reader = compressed::open(self.path)?;
        self.tally.add(reader.counts());
        Ok(reader)
    }

    /// The longest record, in bytes.
    fn most(&self) -> usize {
        self.source.max_record_bytes
    }

    /// A file's name without its folder.
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// A bad record: counted and left out, or the end, as the recipe says.
    fn bad(&self) -> Bad {
        Bad { skip: self.source.skips() }
    }
}

/// What `next` gives until there is no more, or until its first error.
fn until_error<T>(mut next: impl FnMut() -> Result<Option<T>>) -> impl Iterator<Item = Result<T>> {
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let found = next().transpose();
        ended = !matches!(found, Some(Ok(_)));
        found
    })
}

/// Why a record is left out that is longer than the recipe allows.
const TOO_LONG: &str = "longer than max_record_bytes";

/// What to do with bad records.
#[derive(Clone, Copy)]
struct Bad {
    skip: bool,
}

impl Bad {
    fn record(self, id: String, bytes: u64, reason: &'static str, error: Error) -> Result<Item> {
        if self.skip { Ok(Item::skip(id, bytes, reason)) } else { Err(error) }
    }
}

/// What was read of a source's files.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Vec<Arc<Counts>>>>);

impl Tally {
    fn add(&self, counts: Arc<Counts>) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).push(counts);
    }

    /// Files that were opened, their bytes on disk and unpacked.
    pub fn total(&self) -> (u64, u64, u64) {
        let counts = self.0.lock().unwrap_or_else(|e| e.into_inner());
        counts.iter().fold((0, 0, 0), |(n, p, u), c| (n + 1, p + c.packed(), u + c.unpacked()))
    }
}

/// A way to read a file.
pub struct Format {
    /// Its name in a recipe.
    pub name: &'static str,
    /// What its files hold.
    pub about: &'static str,
    /// Endings of files' names (without `.gz`, `.bz2`, `.zst`) that are read this way where the recipe gives no
    /// format.
    pub endings: &'static [&'static str],
    /// Opens a file.
    pub open: fn(&Input) -> Result<Items>,
}

impl Format {
    const fn new(
        name: &'static str,
        about: &'static str,
        endings: &'static [&'static str],
        open: fn(&Input) -> Result<Items>,
    ) -> Self {
        Self { name, about, endings, open }
    }
}

/// All formats.
pub static FORMATS: Registry<Format> = Registry::new(
    "format",
    &[
        Format::new("jsonl", "one JSON object a line", &["jsonl", "ndjson", "json"], jsonl::open),
        Format::new("text", "one document a file", &["txt", "text", "md"], text::open),
        Format::new(
            "csv",
            "a header, then one document a row; TSV by the file's name",
            &["csv", "tsv"],
            csv::open,
        ),
        Format::new("parquet", "one document a row", &["parquet"], parquet::open),
        Format::new("html", "one page a file", &["html", "htm", "xhtml"], html::open),
        Format::new("warc", "pages of a crawl; WET, too", &["warc", "wet"], warc::open),
        Format::new("epub", "one chapter a document", &["epub"], epub::open),
        Format::new("mediawiki", "an XML export of a wiki", &["xml"], mediawiki::open),
        STACKEXCHANGE,
    ],
);

const STACKEXCHANGE: Format =
    Format::new("stackexchange", "Posts.xml of a dump", &[], stackexchange::open);

athanor_store::registered!(Format, FORMATS);

/// The records of a source, file after file, and the count of what is read.
///
/// # Errors
/// Input: a path that is not there, a folder without files, a file with a name that fits no format. From
/// the iterator: those of the format.
pub fn open(
    paths: &[std::path::PathBuf],
    source: &SourceSection,
) -> Result<(impl Iterator<Item = Result<Item>> + use<>, Tally)> {
    let mut all = Vec::new();
    for root in paths {
        for file in files(root)? {
            all.push((format(&file, root, source)?, file.into()));
        }
    }
    Ok(items(all, source, None))
}

/// The same for files that were found before; those that are elsewhere are fetched one by one, as they are reached.
pub(crate) fn read(
    files: &[SourceFile],
    source: &SourceSection,
    feed: &Arc<Feed>,
) -> Result<(impl Iterator<Item = Result<Item>> + use<>, Tally)> {
    let with_format = |f: &SourceFile| Ok((format(&f.path, &f.path, source)?, f.clone()));
    let all = files.iter().map(with_format).collect::<Result<_>>()?;
    Ok(items(all, source, Some(feed.clone())))
}

fn items(
    files: Vec<(&'static Format, SourceFile)>,
    source: &SourceSection,
    feed: Option<Arc<Feed>>,
) -> (impl Iterator<Item = Result<Item>> + use<>, Tally) {
    let source = source.clone();
    let tally = Tally::default();
    let count = tally.clone();
    let items = files.into_iter().flat_map(move |(format, file)| -> Items {
        if let (Some(remote), Some(feed)) = (&file.remote, &feed)
            && let Err(e) = feed.need(remote)
        {
            return Box::new(std::iter::once(Err(e)));
        }
        let input = Input { path: &file.path, source: &source, tally: &count };
        match (format.open)(&input) {
            Ok(items) => items,
            Err(e) => Box::new(std::iter::once(Err(e))),
        }
    });
    (items, tally)
}

fn format(file: &Path, root: &Path, source: &SourceSection) -> Result<&'static Format> {
    if let Some(format) = &source.format {
        return format.entry();
    }
    let full = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut name = full.as_str();
    for packed in compressed::ENDINGS {
        name = name.strip_suffix(&format!(".{packed}")).unwrap_or(name);
    }
    // Stack Exchange's dumps have fixed names.
    if name == "posts.xml" {
        return FORMATS.find(STACKEXCHANGE.name);
    }
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    FORMATS.iter().find(|f| f.endings.contains(&ending)).ok_or_else(|| {
        let names = FORMATS.names().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let hint = if file == root {
            format!("give its format: format = one of {names}")
        } else {
            format!("give the files' format (one of {names}), or move this file away")
        };
        Error::input("the file's name does not tell its format").at(file.display()).hint(hint)
    })
}
