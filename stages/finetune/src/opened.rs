//! A fine-tuned model's task, whatever its types.

use std::path::PathBuf;

use athanor_data::{LabelledSection, Record, Split};
use athanor_models::Model;
use athanor_store::{Figure, Result};

use crate::{
    settings::Settings,
    task::{Kit, Shown, Task, answer, reader},
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
    pub(crate) section: Settings,
    pub(crate) source: LabelledSection,
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
