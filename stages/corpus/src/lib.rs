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
//! (`cache`). So nothing is made twice, and nothing is lost by a kill.

mod account;
mod cache;
mod clean;
mod document;
mod ids;
mod inputs;
mod mix;
mod pieces;
mod section;
mod shards;
mod spool;
mod stage;
mod tokenizer;

pub mod sources;
pub mod steps;

pub use account::mixture::{GroupAccount, MixAccount};
pub use account::{
    Account, Diversity, Example, Flow, Hit, Skipped, SourceAccount, StepAccount, Topic,
};
pub use document::Document;
pub use mix::{MixSection, PartSection};
pub use section::{CorpusSection, TokenizerSection};
pub use sources::SourceSection;
pub use stage::{STAGE, run};
