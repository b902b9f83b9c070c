//! The documents that cleaning keeps.

use std::path::PathBuf;

/// The kept documents of a unit.
pub(crate) struct Kept {
    /// The unit's source.
    pub(crate) source: usize,
    /// What they are made from.
    pub(crate) key: String,
    /// Where they are.
    pub(crate) path: PathBuf,
}
