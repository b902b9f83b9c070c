//! Bits per byte: how far the model compresses the text; compares models with any tokenizers.

use super::{Task, score};

/// The task.
pub const TASK: Task = Task {
    name: "bits-per-byte",
    about: "bits that the model needs for a byte of text; compares models with any tokenizers",
    run: |session, subject| Ok(score::score(session, subject)?.figures("bits_per_byte")),
};
