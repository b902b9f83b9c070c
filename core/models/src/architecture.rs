//! What every network is: its sizes, and the way from tokens to hidden states.

use athanor_tensor::{ParamId, Var};

use crate::pass::Pass;

/// The sizes of a model to be made, whatever its family.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Positions, the longest context.
    pub context: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Inner width of the feed-forward part.
    pub intermediate: usize,
    /// RMS norm on queries and keys.
    pub qk_norm: bool,
    /// Biases on the projections to queries, keys and values.
    pub qkv_bias: bool,
    /// How many places a query sees, its own among them; None is all.
    pub sliding_window: Option<usize>,
    /// Whether input and output embeddings are one.
    pub tied: bool,
    /// Base of the rotary angles.
    pub rope_theta: f64,
}

/// Sizes that generation and accounts need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// The longest context.
    pub context: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

/// A network: from tokens to hidden states.
pub trait Architecture: Send + Sync {
    /// Its sizes.
    fn sizes(&self) -> Sizes;
    /// Hidden states after the final norm, [batch, time, hidden].
    fn forward(&self, pass: &mut Pass<'_>) -> Var;
    /// The tables that are looked up, first the input embedding [vocabulary, hidden].
    fn embeddings(&self) -> Vec<ParamId>;
    /// Whether the output embedding is the input embedding.
    fn tied(&self) -> bool;
    /// Whether a token sees only what stands before it.
    fn causal(&self) -> bool {
        true
    }
    /// The position of each token of rows of `time` where nobody gives them.
    fn positions(&self, ids: &[i32], time: usize) -> Vec<i32> {
        counted(ids.len(), time)
    }
    /// Positions are below this.
    fn position_limit(&self) -> usize {
        self.sizes().context
    }
    /// Another token pads from now on: config.json changed.
    fn set_padding(&mut self, _pad: u32) {}
    /// Token types are below this; 0 if it has none.
    fn type_limit(&self) -> usize {
        0
    }
}

/// Positions 0, 1, 2, … in rows of `time`.
pub(crate) fn counted(count: usize, time: usize) -> Vec<i32> {
    (0..count).map(|i| (i % time.max(1)) as i32).collect()
}
