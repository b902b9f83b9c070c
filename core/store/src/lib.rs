//! What lasts: durable files, checkpoints, recipes and run folders.
//! Nothing else in Athanor writes bytes that must survive.
#![forbid(unsafe_code)]

// `section!` names this crate's serde by path, here too.
extern crate self as athanor_store;

pub mod arrays;
pub mod checkpoint;
pub mod durable;
pub mod error;
pub mod figures;
pub mod jsonl;
mod manifest;
pub mod recipe;
pub mod registry;
pub mod run;
pub mod stage;
pub mod tensorboard;

pub use arrays::{
    Array, ArrayData, ArrayDataRef, ArrayFile, ArrayInfo, ArrayRef, array_index, load_arrays,
    save_arrays,
};
pub use checkpoint::{Checkpoint, Checkpoints};
pub use durable::{
    StagedDir, read_json, read_text, sha256_bytes, sha256_file, sha256_folder, write_atomic,
    write_atomic_with, write_json,
};
pub use error::{Error, Kind, Result};
pub use figures::{Better, Figure, Unit};
pub use jsonl::{JsonLines, read_jsonl};
pub use recipe::{Check, Key, Problem, Recipe, Section, describe, fingerprint_value, nearest};
pub use registry::{Choice, Entry, OwnKeys, OwnTables, Registered, Registry};
pub use run::{Bar, Console, Interrupt, Run, Silent, Task};
pub use stage::{Done, Fingerprint, Input, Stage, StageFolder, StageKind, Work};
pub use tensorboard::TensorBoard;

/// For `section!`, so that a crate with sections needs no serde of its own.
#[doc(hidden)]
pub use serde;
