//! Kinds of supervised tasks. One is a file and a line here.

pub mod classification;
mod conversation;
pub mod regression;
pub mod token_classification;

use athanor_store::{Done, Entry, Registered, Registry, Result};

use crate::stage::Job;

/// A kind of task.
pub struct TaskKind {
    /// Its name in a recipe.
    pub name: &'static str,
    /// What it learns, from what.
    pub about: &'static str,
    /// Trains, measures and writes the result.
    pub(crate) run: fn(&Job<'_>) -> Result<Done>,
}

/// All kinds.
pub static TASKS: Registry<TaskKind> = Registry::new(
    "task",
    &[conversation::TASK, classification::TASK, token_classification::TASK, regression::TASK],
);

impl Entry for TaskKind {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }
}

impl Registered for TaskKind {
    fn registry() -> &'static Registry<Self> {
        &TASKS
    }
}
