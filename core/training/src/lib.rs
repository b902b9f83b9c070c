//! The training loop that every stage shares; it knows steps, gradients and checkpoints, not what
//! is being learned.
//!
//! [`Trainer`] holds what a run of training is: parameters, optimiser, schedule, guard, metrics,
//! checkpoints. [`fit`] walks a [`Task`] through it, for supervised learning; reinforcement learning
//! drives the trainer itself.
//!
//! Architecture Invariant: everything random is drawn from (seed, name, step), and the data of a
//! step depends on the step alone, so a checkpoint needs neither RNG state nor history.

mod average;
mod fit;
pub mod memory;
mod model_folder;
pub mod optimizers;
mod packing;
mod record;
pub mod schedule;
mod section;
mod trainer;
mod walk;

pub use fit::{Figures, Loss, Micro, Task, fit};
pub use model_folder::{
    load_tokenizer, load_writer, save_model, say_left_over, set_tokens, stage_model,
};
pub use packing::Packed;
pub use record::Sample;
pub use section::{ModelSection, TrainSection};
pub use trainer::{StageContext, Trainer, Update};
pub use walk::Walk;
