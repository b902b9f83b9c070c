//! Answers of a fine-tuned model, whatever its task: for the command line and for servers.

use std::path::{Path, PathBuf};

use athanor_data::{LabelledSection, Record};
use athanor_models::Model;
use athanor_store::{Error, Recipe, Result};
use athanor_tensor::Device;
use athanor_training::load_tokenizer;

use crate::{
    encoding,
    opened::{Evaluation, Fields, Opened},
    section::FinetuneSection,
    task::{Kit, Shown},
    tasks::{TASKS, TaskKind},
};

impl Fields {
    /// Those of the examples' keys `source`, and of `sets`, `KEY=VALUE` of the task's own keys.
    ///
    /// # Errors
    /// Input, for a key that the task does not have or a value that is wrong.
    pub fn new(task: &TaskKind, source: LabelledSection, sets: &[String]) -> Result<Self> {
        let own = sets.iter().map(|set| format!("finetune.{}.{set}", task.name));
        let sets: Vec<String> =
            std::iter::once(format!("finetune.task={}", task.name)).chain(own).collect();
        let section: FinetuneSection = Recipe::parse("--set", "", &sets)?.section("finetune")?;
        Ok(Self { section: section.settings(), source })
    }
}

/// A fine-tuned model with its task.
pub struct Predictor {
    model: Model,
    kit: Kit,
    kind: &'static TaskKind,
    task: Box<dyn Opened>,
}

impl Predictor {
    /// Opens a folder whose head is that of a task.
    ///
    /// # Errors
    /// Those of [`Model::load`]; input, for a model with another head.
    pub fn open(folder: &Path, device: Device) -> Result<Self> {
        let model = Model::load(folder, device)?;
        let found = TASKS.iter().find_map(|kind| Some((kind, (kind.open)(&model)?)));
        let Some((kind, task)) = found else {
            return Err(Error::input(format!("a {:?} head has no labels", model.head()))
                .at(folder.display())
                .hint(
                    "give a model that was fine-tuned: its config.json names …ForSequenceClassification, \
                     …ForTokenClassification or the class of another task",
                ));
        };
        let tokenizer = load_tokenizer(folder, &model)?;
        let limit = encoding::limit(0, &model, &tokenizer);
        let causal = model.causal();
        Ok(Self { model, kit: Kit { tokenizer, template: None, limit, causal }, kind, task })
    }

    /// The model's task.
    pub fn task(&self) -> &'static TaskKind {
        self.kind
    }

    /// What the model says of records.
    ///
    /// # Errors
    /// Input, for a record without what the task asks for.
    pub fn predict(&self, fields: &Fields, records: &[Record]) -> Result<Vec<Shown>> {
        self.task.predict(&self.model, &self.kit, fields, records)
    }

    /// Measures the model on all examples of files. `progress` gets how many are done, and of how many.
    ///
    /// # Errors
    /// Input, naming file and line; those of `progress`.
    pub fn evaluate(
        &self,
        fields: &Fields,
        files: &[PathBuf],
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Evaluation> {
        self.task.evaluate(&self.model, &self.kit, fields, files, progress)
    }
}
