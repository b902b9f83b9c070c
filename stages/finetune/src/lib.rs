//! Stage 2, finetune: a pretrained model learns from examples that people wrote.
//!
//! A task is a folder in `tasks/`, which implements [`task::Task`], and one line in [`TASKS`]; learning,
//! measuring, predicting and the command line are the same for all.

mod batches;
mod details;
mod encoding;
mod job;
mod labels;
mod learn;
mod opened;
mod predict;
mod scores;
mod section;
mod settings;
mod stage;
mod task;
mod tasks;
mod texts;

pub mod metrics;

pub use labels::Labels;
pub use opened::{Evaluation, Fields};
pub use predict::Predictor;
pub use section::FinetuneSection;
pub use stage::STAGE;
pub use task::Shown;
pub use tasks::{TASKS, TaskKind};
