//! Tasks. One is a folder and a line here.

mod classification;
mod conversation;
mod multiple_choice;
mod regression;
mod token_classification;

use athanor_models::Model;
use athanor_store::{Done, Entry, OwnKeys, Registered, Registry, Result, figures::FinetuneSummary};

use crate::{
    job::Job,
    learn,
    opened::{Opened, Predict},
    task::Task,
};

/// A task's entry: what the stage and the command line do with any of them.
pub struct TaskKind {
    /// Its name in a recipe.
    pub name: &'static str,
    /// What it learns, from what.
    pub about: &'static str,
    /// Its own keys.
    pub keys: Option<OwnKeys>,
    /// See [`Task::USES`].
    pub uses: &'static [&'static str],
    /// Whether it learns from conversations and not from labelled examples.
    pub conversations: bool,
    /// Trains, measures and writes the result.
    pub(crate) learn: fn(&Job<'_>) -> Result<Done<FinetuneSummary>>,
    /// Takes a fine-tuned model, if its head is the task's.
    pub(crate) open: fn(&Model) -> Option<Box<dyn Opened>>,
}

/// All tasks. The first whose head a model has is the model's.
pub static TASKS: Registry<TaskKind> = Registry::new(
    "task",
    &[
        TaskKind::of::<conversation::Conversation>(),
        TaskKind::of::<classification::Classification>(),
        TaskKind::of::<token_classification::TokenClassification>(),
        TaskKind::of::<regression::Regression>(),
        TaskKind::of::<multiple_choice::MultipleChoice>(),
    ],
);

impl TaskKind {
    /// A task's entry.
    const fn of<T: Task>() -> Self {
        Self {
            name: T::NAME,
            about: T::ABOUT,
            keys: T::KEYS,
            uses: T::USES,
            conversations: T::CONVERSATIONS,
            learn: learn::run::<T>,
            open: |model| Some(Box::new(Predict(T::of_model(model)?))),
        }
    }
}

impl Entry for TaskKind {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn keys(&self) -> Option<OwnKeys> {
        self.keys
    }
}

impl Registered for TaskKind {
    fn registry() -> &'static Registry<Self> {
        &TASKS
    }
}
