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
mod checks;
mod epoch_sampler;
mod expected;
mod fit;
pub mod forecast;
mod groups;
mod learns;
mod model_folder;
mod model_section;
pub mod optimizers;
mod packing;
pub mod parallel;
mod record;
pub mod schedule;
mod section;
mod stage_run;
mod system;
mod task;
mod trainer;
mod updater;

pub use epoch_sampler::EpochSampler;
pub use expected::Expected;
pub use fit::fit;
pub use groups::{Group, Groups};
pub use model_folder::{load_tokenizer, load_writer, save_model, say_left_over, set_tokens};
pub use model_section::ModelSection;
pub use packing::Packed;
pub use record::Sample;
pub use section::{
    EvaluateSection, GroupSection, LearnsSection, OptimizerSection, ScheduleSection, TrainSection,
};
pub use stage_run::StageContext;
pub use system::SystemMemory;
pub use task::{Figures, Forward, Loss, MicroBatch, Task};
pub use trainer::Trainer;
pub use updater::{Update, optimizer};
