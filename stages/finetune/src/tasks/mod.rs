//! Kinds of supervised tasks. One is a file and a line here.

pub mod classification;
mod conversation;
pub mod regression;
pub mod token_classification;

use athanor_store::{Error, Result};

use crate::stage::Job;

/// A kind of task.
pub struct TaskKind {
    /// Its name in a recipe.
    pub name: &'static str,
    /// Trains, measures and writes the result.
    pub(crate) run: fn(&Job<'_>) -> Result<()>,
}

/// All kinds.
pub static TASKS: &[TaskKind] =
    &[conversation::TASK, classification::TASK, token_classification::TASK, regression::TASK];

pub(crate) fn by_name(name: &str) -> Result<&'static TaskKind> {
    let found = TASKS.iter().find(|t| t.name == name);
    found.ok_or_else(|| Error::input(format!("unknown task {name:?}")))
}
