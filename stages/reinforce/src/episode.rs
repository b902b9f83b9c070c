//! Episodes: what a policy and its environment wrote to each other, as tokens.
//!
//! Architecture Invariant: an episode's tokens are those that were read and drawn. They are never made from text
//! again, so the log-probabilities that were drawn belong to them.

use std::{ops::Range, sync::Arc};

use athanor_data::Record;
use athanor_text::Message;

/// How an episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The policy closed its last turn, and the environment was done.
    Finished,
    /// A turn of the policy reached its limit of tokens.
    Length,
    /// The conversation filled the context, or had as many turns as it may.
    Context,
}

/// A turn after the opening.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// Who said what.
    pub message: Message,
    /// Its tokens among those of the episode.
    pub tokens: Range<usize>,
    /// Whether the policy wrote it, and so learns from it.
    pub learned: bool,
    /// What the environment gave for it.
    pub reward: f64,
}

/// A conversation of the policy with an environment.
#[derive(Clone, Debug)]
pub(crate) struct Episode {
    /// Episodes that began alike have the same group.
    pub group: usize,
    /// The record that it began from, where the environment has one.
    pub record: Option<Arc<Record>>,
    /// What stood there before the policy's first turn.
    pub opening: Arc<[Message]>,
    /// Opening and turns.
    pub tokens: Vec<u32>,
    /// What came after the opening, by policy and environment.
    pub turns: Vec<Turn>,
    /// Log-probability of each token that the policy wrote, as it was drawn.
    pub log_probs: Vec<f32>,
    /// How it ended.
    pub end: End,
}

impl Episode {
    /// Whether the policy closed its last turn and the environment was done.
    pub fn is_finished(&self) -> bool {
        self.end == End::Finished
    }

    /// The places of the tokens that the policy wrote.
    pub fn learned(&self) -> impl Iterator<Item = usize> + '_ {
        self.turns.iter().filter(|t| t.learned).flat_map(|t| t.tokens.clone())
    }

    /// The number of tokens that the policy wrote.
    pub fn learned_count(&self) -> usize {
        self.turns.iter().filter(|t| t.learned).map(|t| t.tokens.len()).sum()
    }

    /// The conversation, opening and turns.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.opening.iter().chain(self.turns.iter().map(|t| &t.message))
    }

    /// What the policy was asked: the last message of the opening.
    pub fn request(&self) -> &str {
        self.opening.last().map_or("", |m| &m.content)
    }

    /// The policy's last turn.
    pub fn answer(&self) -> &str {
        let last = self.turns.iter().rev().find(|t| t.learned);
        last.map_or("", |t| &t.message.content)
    }

    /// The turns in words: the answer alone where there is no other.
    pub fn transcript(&self) -> String {
        match &self.turns[..] {
            [only] => only.message.content.clone(),
            turns => {
                let line = |t: &Turn| format!("{}: {}", t.message.role, t.message.content);
                turns.iter().map(line).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// What the environment gave, all turns together.
    pub fn environment_reward(&self) -> f64 {
        self.turns.iter().map(|t| t.reward).sum()
    }

    /// The environment's rewards by the policy's tokens: each at the last token of its turn.
    pub fn turn_rewards(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let mut written = 0;
        self.turns.iter().filter(|t| t.learned).filter_map(move |t| {
            written += t.tokens.len();
            (t.reward != 0.0).then(|| (written.saturating_sub(1), t.reward))
        })
    }
}
