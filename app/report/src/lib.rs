//! What people read: the report of a run as one HTML file, tables for the terminal,
//! and [`inspect`], which describes what is at a path.
//!
//! Everything here only reads what the stages left on disk (docs/contracts.md); any file may be missing,
//! and then the report says so. Text from models and data is untrusted: templates escape it.

mod comparison;
pub mod format;
mod hashes;
pub mod inspect;
mod mend;
mod page;
mod plot;
mod run_files;
mod sections;
mod series;
pub mod table;

pub use comparison::write_comparison;
pub use page::write_report;
