//! Perplexity: e to the mean loss of a token. Only models with the same tokenizer compare.

use super::{Task, score};

/// The task.
pub const TASK: Task = Task {
    name: "perplexity",
    about: "e^(loss per token); compares models with the same tokenizer",
    run: |session, subject| Ok(score::score(session, subject)?.figures("perplexity")),
};
