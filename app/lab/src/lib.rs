//! Recipes, grids of seeds and comparisons as a library: what a program needs to run them without a terminal.
//!
//! [`plan::load`] checks a recipe, [`pipeline::run`] runs its stages, [`comparison::run`] pretrains models in
//! different ways and compares them, [`tasks`] measure a model. A [`Session`] says where progress is shown and
//! when to stop. The command line is one user of this crate.

pub mod comparison;
pub mod documents;
pub mod pipeline;
pub mod plan;
mod session;
pub mod stages;
pub mod tasks;

pub use session::{MOST_THREADS, Session};
