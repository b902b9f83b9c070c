//! Stage 2, finetune: a pretrained model learns from examples that people wrote.
//!
//! A kind of task is one file and one line in [`tasks::TASKS`].

mod batches;
mod conversations;
mod encoding;
mod examples;
mod labels;
mod objective;
mod predict;
mod section;
mod stage;

pub mod metrics;
pub mod tasks;

pub use labels::Labels;
pub use predict::{Predictor, Tag};
pub use section::FinetuneSection;
pub use stage::STAGE;
