//! The recipe's `[corpus]`.

use std::path::PathBuf;

use athanor_store::{Check, Choice, Problem, section};
use athanor_text::Algorithm;

use crate::{mix::MixSection, sources, steps};

section! {
    /// From sources to token shards.
    pub struct CorpusSection {
        /// Where the text comes from, one `[[corpus.sources]]` each, in this order.
        sources: Vec<SourceSection> = Vec::new(),
        /// The cleaning steps, in this order. Their parameters are in `[corpus.settings.NAME]`.
        steps: Vec<String> = steps::DEFAULT.iter().map(|s| s.to_string()).collect(),
        /// Parameters of the steps.
        settings: steps::Settings = steps::Settings::default(),
        /// Documents of a thousand that are held out, chosen by a hash of their text.
        heldout_per_thousand: usize = 50,
        /// Write the kept documents as JSON lines, too: texts.jsonl beside the shards.
        write_texts: bool = false,
        /// Train or load the tokeniser and write token shards. Without, only texts.jsonl is made, for
        /// other programs: no later stage can read it.
        write_shards: bool = true,
        /// The tokeniser.
        tokenizer: TokenizerSection = TokenizerSection::default(),
        /// A folder in which intermediate results are kept under the hash of what they are made from, so
        /// that a change in one step redoes only what follows it; several runs may share it. Without, they
        /// are in the run's folder until the stage is done.
        #[watch]
        cache: Option<PathBuf> = None,
        /// Leave what was downloaded in its cache for later runs. Without, a file goes when the documents in it are
        /// cleaned, if this run has fetched it: the disk then holds a few files at a time.
        #[watch]
        keep_downloads: bool = true,
        /// How often the sources' documents enter the training shards, and in which order.
        mix: MixSection = MixSection::default(),
        /// Tokens of a shard file.
        shard_tokens: usize = 33_554_432,
    }
}

section! {
    /// One source.
    pub struct SourceSection {
        /// Its name in the account.
        name: String = String::new(),
        /// A file, a folder whose files are read in the order of their names, a pattern such as
        /// "crawl/**/*.warc.gz", "-" for standard input, or an address, whose files are downloaded once, as they are reached:
        /// "hf://datasets/OWNER/NAME@REVISION/data/*.parquet" (a file, folder or pattern; HF_TOKEN,
        /// HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are heeded) or "https://HOST/FILE.jsonl.gz".
        path: PathBuf = PathBuf::new(),
        /// More of these, read behind `path`.
        paths: Vec<PathBuf> = Vec::new(),
        /// How to read it; gzip, bzip2 and Zstandard are known by their content. Not set: by the file's name.
        format: Option<Choice<sources::Format>> = None,
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

section! {
    /// The tokeniser that turns text into ids.
    pub struct TokenizerSection {
        /// How its vocabulary is made.
        kind: Choice<Algorithm> = "byte_bpe".into(),
        /// Its special tokens: gpt, bert, roberta or xlnet; empty takes those that the kind is used with.
        special_tokens: String = String::new(),
        /// Lower-case the text and strip accents (wordpiece and unigram).
        lowercase: bool = false,
        /// Tokens of the vocabulary, the special ones included.
        vocab_size: usize = 4096,
        /// Train on about this many bytes of the kept training text, taken evenly; 0: all.
        max_bytes: u64 = 1_073_741_824,
        /// Take this tokeniser (a folder or a tokenizer.json) instead of training one.
        load: Option<PathBuf> = None,
    }
}

impl Check for CorpusSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(
            !self.sources.is_empty(),
            "sources",
            "no sources; give at least one [[corpus.sources]] with name and path",
        )?;
        for (i, step) in self.steps.iter().enumerate() {
            Problem::unless_one_of(format!("steps.{i}"), step, steps::NAMES)?;
            Problem::unless(
                !self.steps[..i].contains(step),
                format!("steps.{i}"),
                format!("{step:?} is there twice"),
            )?;
        }
        for (i, source) in self.sources.iter().enumerate() {
            Problem::unless(
                self.sources[..i].iter().all(|s| s.name != source.name),
                format!("sources.{i}.name"),
                format!("{:?} is the name of another source, too", source.name),
            )?;
        }
        for (i, source) in self.sources.iter().enumerate() {
            for (n, step) in source.skip_steps.iter().enumerate() {
                Problem::unless_one_of(format!("sources.{i}.skip_steps.{n}"), step, steps::NAMES)?;
            }
        }
        self.mix.check_with(self).map_err(|p| p.within("mix"))?;
        Problem::unless(
            self.heldout_per_thousand < 1000,
            "heldout_per_thousand",
            "must be below 1000: something has to be left to train on",
        )?;
        Problem::unless(
            self.write_shards || self.write_texts,
            "write_shards",
            "without shards and without write_texts nothing is written",
        )?;
        Problem::unless(self.shard_tokens > 0, "shard_tokens", "must be positive")
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

impl Check for TokenizerSection {
    fn check(&self) -> Result<(), Problem> {
        if let Ok(algorithm) = self.kind.entry()
            && !self.special_tokens.is_empty()
        {
            let known = algorithm.specials;
            Problem::unless_one_of("special_tokens", &self.special_tokens, known)?;
        }
        let bytes = self.kind.name() == "byte_bpe";
        Problem::unless(
            !bytes || !self.lowercase,
            "lowercase",
            "is for wordpiece and unigram: byte_bpe keeps every byte",
        )?;
        Problem::unless(
            (262..=1 << 24).contains(&self.vocab_size),
            "vocab_size",
            "must be between 262 (256 bytes and 6 special tokens) and 16777216",
        )
    }
}
