//! Stage 2, finetune: a pretrained model learns from examples that people wrote.
//!
//! A kind of task is one file and one line in [`tasks::TASKS`].

mod conversations;
mod section;
mod stage;

pub mod tasks;

pub use section::FinetuneSection;
pub use stage::{NAME, check_files, keys, resolved, run};
