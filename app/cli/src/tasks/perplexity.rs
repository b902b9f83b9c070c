//! Perplexity: e to the mean loss of a token. Only models with the same tokenizer compare.

use athanor_store::Result;

use super::{Figure, Subject, Task, score};
use crate::context::Context;

/// The task.
pub const TASK: Task = Task {
    name: "perplexity",
    about: "e^(loss per token); compares models with the same tokenizer",
    run,
};

fn run(context: &Context, subject: &Subject<'_>) -> Result<Vec<Figure>> {
    let score = score::score(context, subject)?;
    Ok(vec![
        Figure::new("perplexity", score.loss().exp()),
        Figure::new("loss_per_token", score.loss()),
        Figure::new("bits_per_byte", score.bits_per_byte()),
        Figure::count("tokens", score.tokens),
        Figure::count("bytes", score.bytes),
        Figure::count("documents", score.documents),
    ])
}
