//! Figures of predictions, equal to those of the programs that others report with: scikit-learn, seqeval, scipy.

mod classes;
mod entities;
mod numbers;

pub use classes::{ClassFigures, Confusion};
pub use entities::{Entities, EntityFigures, entities};
pub use numbers::{pearson, spearman};
