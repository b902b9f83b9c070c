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
pub use pipeline::{STAGE, run};
pub use section::{CorpusSection, SourceSection, TokenizerSection};
pub use topics::Topic;
