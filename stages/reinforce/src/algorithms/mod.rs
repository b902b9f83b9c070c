//! Algorithms. One is a file or folder and a line in [`ALGORITHMS`].

pub(crate) mod direct;
#[cfg(test)]
pub(crate) mod fixtures;
mod grpo;
mod ppo;

use athanor_store::{Choice, OwnKeys, Registry, figures::Logged};
use athanor_tensor::Var;
use athanor_training::Figures;
use serde_json::Value;

use self::direct::Direct;
use crate::{
    advantages::Advantages,
    episode::Episode,
    rollout::{EpisodeLogProbs, TokenLogProbs},
};

/// What an algorithm asks of the loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    /// A value of each token's state, from a head on the policy.
    pub values: bool,
    /// The log-probabilities of the reference.
    pub reference: bool,
    /// Episodes from each example.
    pub group: usize,
    /// Passes over the episodes of an iteration.
    pub epochs: usize,
}

/// What was written and measured in an iteration.
pub(crate) struct Rollouts {
    pub episodes: Vec<Episode>,
    /// The policy's own log-probabilities and values, by the training forward pass.
    pub policy: EpisodeLogProbs,
    /// The reference's; zeros where the algorithm does not ask for them.
    pub reference: EpisodeLogProbs,
    /// What each episode is worth, without the environment's rewards.
    pub scores: Vec<f64>,
}

/// Some episodes of an iteration, all of whose tokens stand one after the other: each variable is [tokens].
pub(crate) struct Minibatch {
    /// Log-probabilities before the iteration's first update.
    pub old_log_probs: Var,
    /// Those of the reference, where the algorithm asks for them.
    pub reference_log_probs: Option<Var>,
    pub advantages: Var,
    /// Where the algorithm has values.
    pub values: Option<ValueTargets>,
    /// Tokens of each episode.
    pub lengths: Vec<usize>,
    /// The whole update, of which this may be a part.
    pub update: UpdateSize,
}

/// How much an update learns from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UpdateSize {
    pub tokens: usize,
    pub episodes: usize,
}

/// What values were and what they are to become.
pub(crate) struct ValueTargets {
    pub old: Var,
    pub returns: Var,
}

/// A loss with its figures.
pub(crate) struct PolicyLoss {
    /// The part of the update's loss that these tokens are.
    pub loss: Var,
    /// Figures whose sum over the update's parts is the update's.
    pub figures: Figures,
}

/// An algorithm whose policy writes what it learns from. The loop ([`iterate`](crate::iterate)) writes, measures
/// and scores; the algorithm says what that is worth and what the loss is.
pub(crate) trait Online {
    /// What it asks of the loop.
    fn needs(&self) -> Needs;

    /// Advantages and returns of an iteration, by episode and token; with figures of its own.
    fn advantages(&self, rollouts: &Rollouts) -> (Advantages, Figures);

    /// The loss of a part of an update.
    fn loss(&self, now: &TokenLogProbs, batch: &Minibatch) -> PolicyLoss;

    /// After the updates of an iteration of `episodes` at `kl` nats an episode from the reference: what the
    /// algorithm steers by itself.
    fn after(&mut self, _kl: f64, _episodes: usize) {}

    /// What it steers, for metrics.jsonl and summary.json.
    fn steered(&self) -> Figures {
        Vec::new()
    }

    /// What a checkpoint keeps of it.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Takes back what [`state`](Self::state) gave.
    fn restore(&mut self, _state: &Value) {}
}

/// How a policy learns.
pub(crate) enum Method {
    /// From what it writes.
    Online(Box<dyn Online>),
    /// From fixed comparisons.
    Direct(Box<dyn Direct>),
}

/// One algorithm.
pub struct Algorithm {
    name: &'static str,
    about: &'static str,
    keys: OwnKeys,
    /// What it writes into metrics.jsonl besides what every algorithm of its kind does.
    pub logged: Logged,
    pub(crate) open: fn(&Choice<Algorithm>) -> Method,
}

/// All algorithms.
pub static ALGORITHMS: Registry<Algorithm> =
    Registry::new("algorithm", &[ppo::ALGORITHM, grpo::ALGORITHM, direct::dpo::ALGORITHM]);

athanor_store::registered!(Algorithm, ALGORITHMS, keys);
