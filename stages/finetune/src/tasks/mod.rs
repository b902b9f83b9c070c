//! Kinds of supervised tasks. One is a file and a line here.

mod conversation;

use athanor_store::Result;
use athanor_training::{Figures, Trainer};
use serde_json::Value;

use crate::stage::Materials;

/// What training a task leaves.
pub(crate) struct Outcome {
    /// Figures on held-out data, the loss first.
    pub figures: Figures,
    /// One entry for each source with a metric, as summary.json has them.
    pub tasks: Vec<Value>,
}

/// A kind of task.
pub struct TaskKind {
    /// Its name in a recipe.
    pub name: &'static str,
    pub(crate) train: fn(&mut Trainer<'_>, &Materials<'_>) -> Result<Outcome>,
}

/// All kinds.
pub static TASKS: &[TaskKind] = &[TaskKind { name: "conversation", train: conversation::train }];
