//! What every family's network can do.

use athanor_tensor::{ParamId, Var};

use crate::{pass::Pass, sizes::Sizes};

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
    /// Whether a token sees only earlier tokens.
    fn causal(&self) -> bool {
        true
    }
    /// The position of each token of rows of `time` where the input gives none.
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
