//! What a forward pass reads.

use athanor_tensor::{Device, Ids, Tensor, ops::Mask};

/// Token ids with their places and what each may see.
#[derive(Clone, Debug)]
pub struct Input {
    /// [batch, time].
    pub ids: Ids,
    /// Position of each token, [batch, time].
    pub positions: Ids,
    /// Type of each token, [batch, time]: BERT's first and second text. All 0 if none are given.
    pub types: Option<Ids>,
    /// Who sees whom.
    pub mask: Mask,
    /// What only some families take.
    pub extra: Extra,
}

impl Input {
    /// Rows of ids, causal, positions counting from 0.
    ///
    /// # Panics
    /// If the count does not fit the sizes.
    pub fn causal(device: Device, ids: Vec<i32>, batch: usize, time: usize) -> Self {
        let positions = (0..batch * time).map(|i| (i % time.max(1)) as i32).collect();
        Self {
            ids: Ids::new(device, ids, [batch, time]),
            positions: Ids::new(device, positions, [batch, time]),
            types: None,
            mask: Mask::causal(),
            extra: Extra::None,
        }
    }

    /// [batch, time].
    pub fn sizes(&self) -> (usize, usize) {
        (self.ids.shape()[0], self.ids.shape()[1])
    }
}

/// What only some families take beside tokens.
#[derive(Clone, Debug, Default)]
pub enum Extra {
    /// Nothing.
    #[default]
    None,
    /// XLNet's order, targets and memory.
    TwoStreams(TwoStreams),
}

/// Input of a family with two streams: Yang et al. 2019, sections 2.3 and 2.4.
#[derive(Clone, Debug, Default)]
pub struct TwoStreams {
    /// perm_mask [batch, time, time]: above 0 where place i must not see place j.
    pub permutation: Option<Tensor>,
    /// Places that the query stream is asked for, [batch, targets]; -1 for none. Without them the hidden states are
    /// those of every place.
    pub targets: Option<Ids>,
    /// What is remembered of earlier segments, [batch, places, hidden] for each layer; or nothing.
    pub memory: Vec<Tensor>,
}
