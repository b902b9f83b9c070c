//! Figures of predictions, equal to those of the programs that others report with: scikit-learn, seqeval.

mod classes;
mod entities;

pub use classes::{ClassFigures, Confusion};
pub use entities::{Entities, EntityFigures, entities};
