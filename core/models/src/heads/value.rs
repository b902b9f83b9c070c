//! The value of a state: one score a token, which reinforcement learning puts beside the head of a model that writes.
//! It begins at 0 everywhere, as in Ziegler et al.'s code. Hugging Face's classes have no place for it, so it has a
//! file of its own in the model's folder.

use super::{HeadKind, Readout, Stack, Start, Width};

pub const HEAD: HeadKind = HeadKind {
    standard: Some(&[
        Stack::bare(Readout::Every, "value_head.weight", Width::Fixed(1)).starts(Start::Zero)
    ]),
    file: Some("value_head.safetensors"),
    labels: &[],
    ..HeadKind::new("value", "", |_| Ok(()))
};
