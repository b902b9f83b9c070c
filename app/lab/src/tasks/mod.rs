//! What can be measured of a model. Of models that write: one file each, with one line in [`TASKS`]. Of fine-tuned
//! models: the tasks of fine-tuning, [`labelled`].

mod bits_per_byte;
pub mod labelled;
mod perplexity;
mod score;

use std::path::Path;

use athanor_models::Model;
use athanor_store::{Entry, Registry, Result};
use athanor_text::Tokenizer;

use crate::{documents::Documents, session::Session};

/// What a task works on.
pub struct Subject<'a> {
    /// The model's folder, for errors.
    pub folder: &'a Path,
    /// The model.
    pub model: &'a Model,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The texts.
    pub documents: Documents,
    /// Documents at most; 0: all.
    pub limit: usize,
    /// Tokens that the model sees at once; 0: its context, but at most 2048.
    pub window: usize,
    /// Tokens by which the window moves on; 0: half of it.
    pub stride: usize,
}

/// One number of the result.
pub struct Figure {
    /// Its name, in tables and in JSON.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// Whether it is a count, shown without decimals.
    pub count: bool,
}

impl Figure {
    /// A measure.
    pub fn new(name: &'static str, value: f64) -> Self {
        Self { name, value, count: false }
    }

    /// A count.
    pub fn count(name: &'static str, value: u64) -> Self {
        Self { name, value: value as f64, count: true }
    }
}

/// A task of models that write.
pub struct Task {
    /// Its name.
    pub name: &'static str,
    /// What it measures, for the help.
    pub about: &'static str,
    /// Does it; the first figure is the task's own.
    pub run: fn(&Session, Subject<'_>) -> Result<Vec<Figure>>,
}

/// All of these.
pub static TASKS: Registry<Task> = Registry::new("task", &[perplexity::TASK, bits_per_byte::TASK]);

impl Entry for Task {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }
}
