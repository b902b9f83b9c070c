//! What a parameter is for, recorded where it is declared; its name is never parsed.

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with this deviation.
    Normal(f32),
    /// Ones.
    One,
    /// Zeros.
    Zero,
}

/// Where in the network a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The embeddings, and what comes before the first block.
    Embeddings,
    /// A block, counted from 0.
    Block(usize),
    /// The trunk above the last block: a final norm, a pooler.
    Top,
    /// The head.
    Head,
}

/// What a parameter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A table that is looked up.
    Embedding,
    /// The matrix of a linear map between hidden states.
    Linear,
    /// The matrix of a head's scores.
    Output,
    /// A bias.
    Bias,
    /// The gain of a norm.
    Norm,
    /// What an adapter adds to a linear map.
    Adapter,
    /// Something else: XLNet's mask and segment vectors.
    Other,
}

/// Which file a parameter is saved in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedIn {
    /// model.safetensors.
    Model,
    /// This one beside it.
    Beside(&'static str),
    /// A guest's, in another folder.
    Guest,
}

/// What is known of a parameter beside its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Where it is.
    pub level: Level,
    /// What it does.
    pub role: Role,
    /// Where it is saved.
    pub saved_in: SavedIn,
}

impl Parameter {
    /// The number of its block, counted from 0, if it is in one.
    pub fn block(self) -> Option<usize> {
        match self.level {
            Level::Block(block) => Some(block),
            _ => None,
        }
    }

    /// How far up it is in a network of `layers` blocks: 0 for the embeddings, 1 for the first block, `layers` + 1
    /// for what is above the blocks, the head included.
    pub fn depth(self, layers: usize) -> usize {
        match self.level {
            Level::Embeddings => 0,
            Level::Block(block) => (block + 1).min(layers + 1),
            Level::Top | Level::Head => layers + 1,
        }
    }
}
