//! Cleaning steps. A step is one file here and one line in the registry below.

mod blocklists;
mod boilerplate;
mod c4;
mod chinese;
mod control;
mod decontaminate;
mod duplicates;
mod english;
mod entities;
mod fineweb;
mod gopher_quality;
mod gopher_repetition;
pub(crate) mod grams;
mod gutenberg;
pub mod language;
mod length;
mod lines;
mod minhash;
mod perplexity;
mod personal;
mod quality;
mod repair;
mod repetition;
pub(crate) mod script;
mod split;
mod substrings;
mod symbols;
mod whole;

use std::{path::PathBuf, sync::Arc};

use athanor_store::{
    Console, Error, Interrupt, OwnKeys, OwnTables, Recipe, Registry, Result, Section,
};
use serde_json::Value;

use crate::{
    Document, SourceSection,
    sources::{self, Body, remote::Feed},
};
use script::Script;

pub use blocklists::{Urls, Words};
pub use boilerplate::Boilerplate;
pub use c4::C4;
pub use control::Control;
pub use decontaminate::{Decontaminate, EvaluationSet};
pub use duplicates::Duplicates;
pub use entities::Entities;
pub use fineweb::FineWeb;
pub use gopher_quality::GopherQuality;
pub use gopher_repetition::GopherRepetition;
pub use gutenberg::Gutenberg;
pub use language::Language;
pub use length::Length;
pub use lines::Lines;
pub use minhash::{MinHash, shingles};
pub use perplexity::Perplexity;
pub use personal::Personal;
pub use quality::Quality;
pub use repair::Repair;
pub use repetition::Repetition;
pub use split::SplitLong;
pub use substrings::Substrings;
pub use symbols::Symbols;
pub use whole::{Mark, Place, Whole};

/// What a step makes of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Kept as it is.
    Keep,
    /// Kept, changed.
    Change(String),
    /// Kept, changed or not, with what was done how often.
    Edit(String, Vec<(&'static str, u64)>),
    /// Kept; this is its language.
    Language(&'static str),
    /// Several documents instead of one.
    Split(Vec<String>),
    /// Dropped, for this reason.
    Drop(&'static str),
    /// Dropped for this reason, with what it has in common with what.
    Hit {
        /// Why.
        reason: &'static str,
        /// With what.
        with: String,
        /// What is in both.
        what: String,
    },
    /// Kept; this is how good it is, 0 to 1.
    Quality(f32),
}

/// What a step may need before the first document comes.
pub struct Preparation<'a> {
    /// The recipe, for its folder.
    pub recipe: &'a Recipe,
    /// Where it is shown what is fetched.
    pub console: Arc<dyn Console>,
    /// Set when the user wants to stop.
    pub interrupt: Interrupt,
    /// The sources, for steps that learn from them.
    pub sources: &'a [SourceSection],
}

impl Preparation<'_> {
    /// The texts of a source, until `each` has enough. Gives the share of the source that this was, by the bytes of
    /// its files.
    ///
    /// # Errors
    /// Input: no such source, or it cannot be read twice; those of reading it.
    fn texts(&self, name: &str, each: &mut dyn FnMut(String) -> bool) -> Result<f64> {
        let source = self.sources.iter().find(|s| s.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.sources.iter().map(|s| s.name.as_str()).collect();
            Error::input(format!("there is no source {name:?}"))
                .hint(format!("the sources are {}", names.join(", ")))
        })?;
        if source.all_paths().iter().any(|p| sources::is_stdin(p)) {
            return Err(Error::input(format!(
                "source {name:?} is standard input, which cannot be read twice"
            )));
        }
        let mut files = Vec::new();
        for path in source.all_paths() {
            let path = self.recipe.resolve(&path);
            files.extend(sources::found(&path, &*self.console, &self.interrupt)?.0);
        }
        let remote = files.iter().filter_map(|f| f.remote.clone()).collect();
        let feed = Feed::by_environment(remote, self.console.clone(), self.interrupt.clone());
        let (items, tally) = sources::read(&files, source, &feed)?;
        let mut bytes = 0;
        let mut enough = false;
        for item in items {
            let item = match item {
                Ok(item) => item,
                Err(_) if source.skips() && !feed.has_failed() => continue,
                Err(e) => return Err(e),
            };
            let text = match item.body {
                Body::Text(text) => text,
                Body::Later(make) => match make() {
                    Ok(text) => text,
                    Err(_) => continue,
                },
                Body::Skip(_) => continue,
            };
            bytes += text.len() as u64;
            enough = !each(text);
            if enough || (source.max_bytes > 0 && bytes >= source.max_bytes) {
                break;
            }
        }
        if !enough {
            return Ok(1.0);
        }
        let size = |f: &sources::SourceFile| match &f.remote {
            Some(remote) => remote.size.unwrap_or(0),
            None => std::fs::metadata(&f.path).map_or(0, |m| m.len()),
        };
        let size: u64 = files.iter().map(size).sum();
        let share = tally.total().1 as f64 / size.max(1) as f64;
        let of_bound = bytes as f64 / source.max_bytes as f64;
        Ok(if source.max_bytes > 0 { share.max(of_bound) } else { share }.min(1.0))
    }
}

/// A cleaning step.
pub trait Step: Send + Sync {
    /// Judges one text. Steps that compare documents keep it: they judge by [`whole`](Self::whole).
    fn apply(&self, _text: &str) -> Outcome {
        Outcome::Keep
    }

    /// Judges one document, for steps that look at more than its text.
    fn judge(&self, document: &Document) -> Outcome {
        self.apply(&document.text)
    }

    /// Its parameters, for the account.
    fn parameters(&self) -> Value;

    /// The step with what it reads or learns before the first document, if that is needed.
    ///
    /// # Errors
    /// Input: a list or text that is not there.
    fn prepare(&self, _: &Preparation) -> Result<Option<Box<dyn Step>>> {
        Ok(None)
    }

    /// Files that the step reads besides the sources.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// What it found out, for the account.
    fn notes(&self) -> Value {
        Value::Null
    }

    /// Names of the sources that it learns from.
    fn learns_from(&self) -> Vec<String> {
        Vec::new()
    }

    /// For steps that judge when they have seen all documents: what came before them is then done
    /// first.
    fn whole(&self) -> Option<&dyn Whole> {
        None
    }
}

/// A kind of step: its name, its keys and how it is made from them.
pub struct StepKind {
    name: &'static str,
    about: &'static str,
    keys: OwnKeys,
    make: fn(&'static str, &Settings) -> Box<dyn Step>,
}

/// Parameters of the cleaning steps, a table each.
pub type Settings = OwnTables<StepKind>;

impl StepKind {
    /// A step that is its own section.
    const fn of<S: Section + Step + 'static>(name: &'static str, about: &'static str) -> Self {
        let make = |name, settings: &Settings| Box::new(settings.of::<S>(name)) as Box<dyn Step>;
        Self { name, about, keys: OwnKeys::of::<S>(), make }
    }

    /// The step with its parameters.
    pub fn step(&self, settings: &Settings) -> Box<dyn Step> {
        (self.make)(self.name, settings)
    }
}

/// All steps.
pub static STEPS: Registry<StepKind> = Registry::new(
    "cleaning step",
    &[
        StepKind::of::<Repair>("repair", "mojibake is turned back, Unicode normalised"),
        StepKind::of::<Entities>("entities", "HTML references such as `&amp;` become characters"),
        StepKind::of::<Gutenberg>(
            "gutenberg",
            "Project Gutenberg's front and end matter, credits and transcribers' notes go",
        ),
        StepKind::of::<Control>("control", "line ends, control characters and broken characters"),
        StepKind::of::<Urls>("urls", "pages of unwanted addresses go"),
        StepKind::of::<Boilerplate>(
            "boilerplate",
            "lines of navigation, sharing, cookies and copyright go",
        ),
        StepKind::of::<SplitLong>("split", "long documents are split at paragraph ends"),
        StepKind::of::<Language>("language", "the language is found; others than those wanted go"),
        StepKind::of::<Length>("length", "too short and too long documents go"),
        StepKind::of::<Repetition>("repetition", "documents that repeat themselves go"),
        StepKind::of::<GopherQuality>("gopher_quality", "Gopher's quality rules"),
        StepKind::of::<GopherRepetition>("gopher_repetition", "Gopher's repetition rules"),
        StepKind::of::<C4>("c4", "C4's rules: lines, sentences, phrases"),
        StepKind::of::<FineWeb>("fineweb", "FineWeb's rules"),
        StepKind::of::<Words>("words", "documents with unwanted words go"),
        StepKind::of::<Quality>(
            "quality",
            "documents that a classifier finds unlike a good source go",
        ),
        StepKind::of::<Perplexity>(
            "perplexity",
            "documents that an n-gram model of a good source finds unusual go",
        ),
        StepKind::of::<Symbols>("symbols", "documents made of symbols rather than of words go"),
        StepKind::of::<Duplicates>("duplicates", "documents that came before go"),
        StepKind::of::<Lines>("lines", "lines or paragraphs that come again in other documents go"),
        StepKind::of::<MinHash>("minhash", "near-duplicates go, by MinHash"),
        StepKind::of::<Substrings>(
            "substrings",
            "long passages that stand elsewhere word for word go",
        ),
        StepKind::of::<Decontaminate>(
            "decontaminate",
            "documents that have n-grams in common with evaluation sets go",
        ),
        StepKind::of::<Personal>("personal", "personal data is replaced"),
    ],
);

athanor_store::registered!(StepKind, STEPS, keys);

/// The steps of a recipe that names none.
pub const DEFAULT: &[&str] =
    &["entities", "gutenberg", "control", "split", "length", "repetition", "symbols", "duplicates"];

/// A step whose rules are one set for languages that write spaces between words and one for Chinese.
trait ByScript: Section + Send + Sync {
    /// The key that says whose rules: by the text's script, or one for all.
    fn rules(&self) -> &str;

    /// Judges by the rules of a script.
    fn judge_as(&self, text: &str, script: Script) -> Outcome;
}

impl<T: ByScript> Step for T {
    fn apply(&self, text: &str) -> Outcome {
        self.judge_as(text, Script::of(text, self.rules(), ""))
    }

    fn judge(&self, document: &Document) -> Outcome {
        let script = Script::of(&document.text, self.rules(), document.language);
        self.judge_as(&document.text, script)
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

/// A section's values, for the account.
fn parameters<S: Section>(section: &S) -> Value {
    serde_json::to_value(section).unwrap_or_default()
}
