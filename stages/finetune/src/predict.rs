//! What a fine-tuned model says, whatever its task: for the command line and for servers.

use std::path::{Path, PathBuf};

use athanor_data::{LabelledSection, Record, Split};
use athanor_models::Model;
use athanor_store::{Error, Figure, Recipe, Result};
use athanor_tensor::Device;
use athanor_training::load_tokenizer;

use crate::{
    encoding,
    section::FinetuneSection,
    task::{Kit, Shown, Task, answer, reader},
    tasks::{TASKS, TaskKind},
};

/// Examples that go through the model between two looks at the progress.
const BATCH: usize = 1024;

/// What came of measuring a model.
pub struct Evaluation {
    /// What was measured, and how often.
    pub counts: Vec<(&'static str, u64)>,
    /// The task's figures; the first is its own.
    pub figures: Vec<(&'static Figure, f64)>,
    /// What always giving the commonest answer would score.
    pub floor: Option<(&'static str, f64)>,
}

/// Where records have what a task asks for: the examples' keys, and the task's own.
pub struct Fields {
    section: FinetuneSection,
    source: LabelledSection,
}

impl Fields {
    /// Those of the examples' keys `source`, and of `sets`, `KEY=VALUE` of the task's own keys.
    ///
    /// # Errors
    /// Input, for a key that the task does not have or a value that is wrong.
    pub fn new(task: &TaskKind, source: LabelledSection, sets: &[String]) -> Result<Self> {
        let own = sets.iter().map(|set| format!("finetune.{}.{set}", task.name));
        let sets: Vec<String> =
            std::iter::once(format!("finetune.task={}", task.name)).chain(own).collect();
        let section = Recipe::parse("--set", "", &sets)?.section("finetune")?;
        Ok(Self { section, source })
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
    pub fn open(folder: &Path) -> Result<Self> {
        let model = Model::load(folder, Device::Cpu)?;
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

    /// Measures the model on all examples of files. `progress` is told how many of how many are done.
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

/// A task of a model, whatever its types.
pub(crate) trait Opened {
    fn predict(
        &self,
        model: &Model,
        kit: &Kit,
        fields: &Fields,
        records: &[Record],
    ) -> Result<Vec<Shown>>;

    fn evaluate(
        &self,
        model: &Model,
        kit: &Kit,
        fields: &Fields,
        files: &[PathBuf],
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Evaluation>;
}

/// A task whose types are forgotten.
pub(crate) struct Predict<T>(pub T);

impl<T: Task> Opened for Predict<T> {
    fn predict(
        &self,
        model: &Model,
        kit: &Kit,
        fields: &Fields,
        records: &[Record],
    ) -> Result<Vec<Shown>> {
        let ask = T::question(&fields.section, &fields.source)?;
        let questions = records.iter().map(ask).collect::<Result<Vec<_>>>()?;
        let said = answer(&self.0, model, kit, &questions)?;
        Ok(questions.iter().zip(&said).map(|(q, said)| self.0.show(q, said)).collect())
    }

    fn evaluate(
        &self,
        model: &Model,
        kit: &Kit,
        fields: &Fields,
        files: &[PathBuf],
        progress: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Evaluation> {
        let read = reader::<T>(&fields.section, &fields.source)?;
        let mut examples = Vec::new();
        for path in files {
            examples.extend(fields.source.file(path, |_| Split::Heldout, &read)?);
        }
        let (mut right, mut said) = (Vec::new(), Vec::new());
        for batch in examples.chunks(BATCH) {
            progress(right.len(), examples.len())?;
            for example in batch {
                right.push(self.0.answer(&example.item.answers, &example.place)?);
            }
            let questions: Vec<_> = batch.iter().map(|e| e.item.question.clone()).collect();
            said.extend(answer(&self.0, model, kit, &questions)?);
        }
        progress(right.len(), examples.len())?;
        let right: Vec<&T::Answer> = right.iter().collect();
        Ok(Evaluation {
            counts: T::counts(&right),
            figures: self.0.score(&right, &said),
            floor: self.0.floor(&right),
        })
    }
}
