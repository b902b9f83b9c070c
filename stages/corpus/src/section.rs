//! The recipe's `[corpus]`.

use std::path::PathBuf;

use athanor_store::{Check, Choice, Problem, section};
use athanor_text::Algorithm;

use crate::{mix::MixSection, sources::SourceSection, steps};

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
        let known: Vec<&str> = steps::STEPS.names().collect();
        for (i, step) in self.steps.iter().enumerate() {
            Problem::unless_one_of(format!("steps.{i}"), step, &known)?;
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
                Problem::unless_one_of(format!("sources.{i}.skip_steps.{n}"), step, &known)?;
            }
        }
        self.mix.check_with(&self.sources, &self.steps).map_err(|p| p.within("mix"))?;
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
