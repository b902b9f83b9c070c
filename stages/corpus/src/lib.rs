//! Stage 0, corpus: sources → cleaned, deduplicated, split, tokenised shards, with an account of
//! what was dropped, where and why.
//!
//! A source is one file in `sources/`, a cleaning step one file in `steps/`, each with one line in
//! its folder's registry.
//!
//! Architecture Invariant: a step sees one text and decides about it alone; what depends on other
//! documents is a [`steps::Whole`]. So steps run on all cores and in many processes, and the result does
//! not depend on how many there are.
//!
//! Architecture Invariant: what is made on the way stands under the hash of what decides it
//! (`work`). So nothing is made twice, and nothing is lost by a kill.

mod account;
mod clean;
mod datacard;
mod diversity;
mod document;
mod encode;
mod mix;
mod pipeline;
mod section;
mod spool;
mod stage;
mod topics;
mod units;
mod whole;
mod work;

pub mod sources;
pub mod steps;

pub use account::{Account, Example, Flow, Hit, Skipped, SourceAccount, StepAccount};
pub use diversity::Diversity;
pub use document::Document;
pub use mix::{GroupAccount, MixAccount, MixSection, PartSection};
pub use pipeline::run;
pub use section::{CorpusSection, SourceSection, TokenizerSection};
pub use topics::Topic;

use std::path::Path;

use athanor_store::{Key, Recipe, Result, Section};

/// The stage's name.
pub const NAME: &str = "corpus";

/// The stage's keys.
pub fn keys() -> Vec<Key> {
    CorpusSection::keys()
}

/// The stage's section with every key, checked.
///
/// # Errors
/// Input, with the key's place.
pub fn resolved(recipe: &Recipe) -> Result<serde_json::Value> {
    Ok(athanor_store::recipe::json(&recipe.section::<CorpusSection>(NAME)?))
}

/// Fails unless the files, and the earlier stages' results, that the stage works on are there or
/// will be: asked before the first stage of a recipe begins.
///
/// # Errors
/// Input, with the key's place.
pub fn check_files(recipe: &Recipe, _run: &Path) -> Result<()> {
    let section = recipe.section::<CorpusSection>(NAME)?;
    for (i, source) in section.sources.iter().enumerate() {
        for path in source.all_paths() {
            let key = format!("{NAME}.sources.{i}.path");
            if sources::remote::is_remote(&path) {
                sources::remote::check(&path).map_err(|e| e.at(&key))?;
                continue;
            }
            if sources::is_stdin(&path) || sources::files(&recipe.resolve(&path)).is_ok() {
                continue;
            }
            recipe.needs_file(&key, &path)?;
        }
    }
    for name in &section.steps {
        let files = steps::build(name, &section.settings).map_or(Vec::new(), |s| s.files());
        for path in files {
            recipe.needs_file(&format!("{NAME}.settings.{name}"), &path)?;
        }
    }
    match &section.tokenizer.load {
        Some(path) => recipe.needs_file("corpus.tokenizer.load", path),
        None => Ok(()),
    }
}
