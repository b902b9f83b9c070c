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
mod predict;
mod scores;
mod section;
mod stage;
mod task;
mod tasks;
mod texts;

pub mod metrics;

pub use labels::Labels;
pub use predict::{Evaluation, Fields, Predictor};
pub use section::FinetuneSection;
pub use stage::STAGE;
pub use task::Shown;
pub use tasks::{TASKS, TaskKind};
