//! The sizes of models.

/// The sizes of a model to be made, whatever its family.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Positions, the longest context.
    pub context: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Inner width of the feed-forward part.
    pub intermediate: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
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

impl Default for Shape {
    /// A model of one block that trains in no time: for tests and examples, which name what matters to them.
    fn default() -> Self {
        Self {
            vocabulary: 61,
            context: 48,
            hidden: 24,
            intermediate: 40,
            layers: 1,
            heads: 4,
            kv_heads: 4,
            qk_norm: false,
            qkv_bias: false,
            sliding_window: None,
            tied: true,
            rope_theta: 10_000.0,
        }
    }
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
