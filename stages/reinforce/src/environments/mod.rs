//! Environments: where a policy's episodes begin, and what answers it. One is a file or folder and a line in
//! [`ENVIRONMENTS`].

mod prompts;

use std::sync::Arc;

use athanor_data::Record;
use athanor_store::{Result, Run};
use athanor_text::{ChatTemplate, Message, Tokenizer};

use crate::section::ReinforceSection;

/// What examples are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The policy learns from them.
    Train,
    /// The policy is measured on them.
    Heldout,
    /// They are shown to people.
    Sample,
}

/// Begins episodes.
pub(crate) trait Environment {
    /// The number of examples of a part; at least one of those to learn from and held out.
    fn examples(&self, part: Part) -> usize;

    /// Begins an episode from an example. All that is random in it comes from `seed`.
    ///
    /// # Errors
    /// Those of the environment.
    fn begin(&self, part: Part, example: usize, seed: u64) -> Result<Start>;

    /// The policy's turns that an episode has at most.
    fn max_turns(&self) -> usize {
        1
    }
}

/// The beginning of an episode.
pub(crate) struct Start {
    /// What stands there before the policy's first turn.
    pub opening: Arc<[Message]>,
    /// The record that it comes from, for rewards.
    pub record: Option<Arc<Record>>,
    /// What answers the policy.
    pub session: Box<dyn Session>,
}

/// One episode of an environment.
pub(crate) trait Session {
    /// Takes the policy's turn.
    ///
    /// # Errors
    /// Those of the environment.
    fn reply(&mut self, turn: &str) -> Result<Reply>;
}

/// What an environment says to a turn.
pub(crate) struct Reply {
    /// What it says, none when the episode is over.
    pub messages: Vec<Message>,
    /// What the turn is worth.
    pub reward: f64,
    /// Whether the episode is over.
    pub done: bool,
}

impl Reply {
    /// The end of an episode, worth `reward`.
    pub fn end(reward: f64) -> Self {
        Self { messages: Vec::new(), reward, done: true }
    }
}

/// What an environment is opened with.
pub(crate) struct Setup<'a> {
    pub run: &'a Run,
    pub section: &'a ReinforceSection,
    pub tokenizer: &'a Tokenizer,
    pub template: &'a ChatTemplate,
    /// Tokens that a conversation has at most.
    pub longest: usize,
}

/// A kind of environment.
pub struct EnvironmentKind {
    /// Its name in a recipe.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    pub(crate) open: fn(&Setup<'_>) -> Result<Box<dyn Environment>>,
}

/// All kinds.
pub static ENVIRONMENTS: &[EnvironmentKind] = &[prompts::ENVIRONMENT];

/// The entry of this name; the first, if there is none: the section's check comes before.
pub(crate) fn by_name(name: &str) -> &'static EnvironmentKind {
    ENVIRONMENTS.iter().find(|e| e.name == name).unwrap_or(&ENVIRONMENTS[0])
}
