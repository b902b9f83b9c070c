//! The keys of a source.

use std::path::PathBuf;

use athanor_store::{Check, Choice, Problem, section};

use super::Format;

section! {
    /// One source.
    pub struct SourceSection {
        /// Its name in the account.
        name: String = String::new(),
        /// A file, a folder (its files are read in the order of their names), a pattern such as
        /// "crawl/**/*.warc.gz", "-" for standard input, or an address (its files are downloaded once, as they are reached):
        /// "hf://datasets/OWNER/NAME@REVISION/data/*.parquet" (a file, folder or pattern; HF_TOKEN,
        /// HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are heeded) or "https://HOST/FILE.jsonl.gz".
        path: PathBuf = PathBuf::new(),
        /// More of these, read behind `path`.
        paths: Vec<PathBuf> = Vec::new(),
        /// How to read it; gzip, bzip2 and Zstandard are known by their content. Not set: by the file's name.
        format: Option<Choice<Format>> = None,
        /// The field that holds the text, or a template over fields: "{{ title }}\n{{ text }}".
        text: String = "text".to_string(),
        /// Take only records for which this expression holds: "genre == 'humor'". Empty: all.
        only: String = String::new(),
        /// Steps that its documents pass by: rules for web pages are none for poems.
        skip_steps: Vec<String> = Vec::new(),
        /// At a record or file that is damaged: "refuse" stops with an error that names the place,
        /// "skip" counts it with its reason in the account and goes on.
        on_error: String = "refuse".to_string(),
        /// A longer record (a line, a row, a page, a record of a crawl, a chapter) is left out with its reason
        /// and never held whole; formats with smaller bounds keep those (pages of HTML: 16 MiB).
        max_record_bytes: usize = 67_108_864,
        /// The licence, for the account.
        licence: String = String::new(),
        /// Stop behind this many bytes of text; 0: read all.
        max_bytes: u64 = 0,
        /// How often its training documents enter the shards.
        repeat: usize = 1,
    }
}

impl SourceSection {
    /// `path` and `paths`.
    pub fn all_paths(&self) -> Vec<PathBuf> {
        let all = std::iter::once(&self.path).chain(&self.paths);
        all.filter(|p| !p.as_os_str().is_empty()).cloned().collect()
    }

    /// Whether bad records are skipped.
    pub fn skips(&self) -> bool {
        self.on_error == "skip"
    }
}

impl Check for SourceSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(!self.name.is_empty(), "name", "a source needs a name")?;
        Problem::unless(!self.all_paths().is_empty(), "path", "a source needs a path")?;
        Problem::unless_one_of("on_error", &self.on_error, &["refuse", "skip"])?;
        Problem::unless(
            (1024..=1 << 30).contains(&self.max_record_bytes),
            "max_record_bytes",
            "must be between 1024 and 1073741824",
        )?;
        Problem::unless(
            self.repeat > 0,
            "repeat",
            "must be at least 1; leave the source out instead",
        )
    }
}
