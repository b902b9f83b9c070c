//! Rollouts: episodes that a policy writes, and the log-probabilities of their tokens.

mod generate;
mod log_probs;

pub(crate) use generate::Generator;
pub(crate) use log_probs::{
    Batch, EpisodeLogProbs, TokenLogProbs, episode_log_probs, token_log_probs,
};
