//! Bits per byte: how far the model compresses the text; compares models with any tokenizers.

use athanor_store::Result;

use super::{Figure, Subject, Task, score};
use crate::context::Context;

/// The task.
pub const TASK: Task = Task {
    name: "bits-per-byte",
    about: "bits that the model needs for a byte of text; compares models with any tokenizers",
    run,
};

fn run(context: &Context, subject: &Subject<'_>) -> Result<Vec<Figure>> {
    let score = score::score(context, subject)?;
    Ok(vec![
        Figure::new("bits_per_byte", score.bits_per_byte()),
        Figure::new("loss_per_token", score.loss()),
        Figure::new("perplexity", score.loss().exp()),
        Figure::count("tokens", score.tokens),
        Figure::count("bytes", score.bytes),
        Figure::count("documents", score.documents),
    ])
}
