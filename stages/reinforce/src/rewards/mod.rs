//! Where rewards come from. One is a file and a line here.

mod model;

use athanor_store::{Result, Run};
use athanor_text::Tokenizer;

use crate::{rollout::Answer, section::ReinforceSection};

/// Scores answers; higher is better.
pub(crate) trait Reward {
    /// One score for each answer.
    fn score(&self, answers: &[Answer]) -> Result<Vec<f64>>;

    /// The same on paper: scores mean nothing, memory is counted.
    fn planned(&self) -> Result<Box<dyn Reward>>;

    /// Most tokens that a request and its answer may have together.
    fn longest(&self) -> usize;
}

/// A kind of reward.
pub struct RewardKind {
    /// Its name in a recipe.
    pub name: &'static str,
    pub(crate) open: fn(&Run, &ReinforceSection, &Tokenizer) -> Result<Box<dyn Reward>>,
    /// SHA-256 of what it is made from, for the fingerprint.
    pub(crate) hash: fn(&Run, &ReinforceSection) -> Result<String>,
}

/// All kinds.
pub static REWARDS: &[RewardKind] =
    &[RewardKind { name: "model", open: model::open, hash: model::hash }];
