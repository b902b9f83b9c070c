//! What lasts: durable files, checkpoints, recipes and run folders.
//! Nothing else in Athanor writes bytes that must survive.

pub mod error;
pub mod run;

pub use error::{Error, Kind, Result};
