//! The account of the mix.

use serde::{Deserialize, Serialize};

/// What the mix came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MixAccount {
    /// Training tokens that were wanted.
    pub tokens_wanted: u64,
    /// Training tokens in the shards.
    pub tokens: u64,
    /// By source and language.
    pub groups: Vec<GroupAccount>,
}

/// A source's documents of one language.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GroupAccount {
    /// The source.
    pub source: String,
    /// The language; "" if not looked for.
    pub language: String,
    /// Documents there are.
    pub documents: u64,
    /// Their tokens.
    pub tokens_available: u64,
    /// How often they were to come on average.
    pub epochs_wanted: f64,
    /// The share of training tokens that was wanted, after the bound on epochs.
    pub share_wanted: f64,
    /// Documents in the shards, each time counted.
    pub copies: u64,
    /// Tokens in the shards.
    pub tokens: u64,
    /// Their share.
    pub share: f64,
}
