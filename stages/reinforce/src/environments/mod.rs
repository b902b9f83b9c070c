//! Environments: where a policy's episodes begin, and what answers it. One is a file or folder and a line in
//! [`ENVIRONMENTS`].

mod bandit;
mod prompts;

use std::sync::Arc;

use athanor_data::{DialogueSection, Record};
use athanor_store::{Choice, OwnKeys, Registry, Result, Run};
use athanor_text::{ChatTemplate, Message, Tokenizer};

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
    /// The environment's name and its own keys.
    pub choice: &'a Choice<EnvironmentKind>,
    pub tokenizer: &'a Tokenizer,
    pub template: &'a ChatTemplate,
    /// Tokens that a conversation has at most.
    pub longest: usize,
    /// Tokens that a turn of the policy has at most.
    pub max_new_tokens: usize,
    /// Examples held out, of a thousand.
    pub heldout_per_thousand: usize,
    /// Held-out examples that are wanted.
    pub heldout: usize,
    /// Requests of the recipe.
    pub prompts: &'a [DialogueSection],
    /// Requests that show what the policy does.
    pub sample_prompts: &'a [String],
}

/// A kind of environment.
pub struct EnvironmentKind {
    name: &'static str,
    about: &'static str,
    keys: Option<OwnKeys>,
    pub(crate) open: fn(&Setup<'_>) -> Result<Box<dyn Environment>>,
}

/// All kinds.
pub static ENVIRONMENTS: Registry<EnvironmentKind> =
    Registry::new("environment", &[prompts::ENVIRONMENT, bandit::ENVIRONMENT]);

athanor_store::registered!(EnvironmentKind, ENVIRONMENTS, keys);
