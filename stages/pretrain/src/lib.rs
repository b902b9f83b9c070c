//! Stage 1, pretrain: a Transformer learns from text without labels.
//!
//! What is predicted is an objective: one file in `objectives/`, one line in its registry.

mod bytes;
mod loader;
mod masked;
mod ngrams;
mod section;
mod short_rows;
mod stage;
mod windows;

pub mod inputs;
pub mod objectives;

pub use loader::load;
pub use masked::MaskingSection;
pub use section::PretrainSection;
pub use stage::STAGE;
