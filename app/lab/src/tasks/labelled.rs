//! Answers of a fine-tuned model against those that people gave, whatever its task.

use std::path::{Path, PathBuf};

use athanor_data::LabelledSection;
use athanor_finetune::{Fields, Predictor, TaskKind};
use athanor_store::{Error, Result};
use athanor_tensor::Device;

use super::Figure;
use crate::session::Session;

/// Measures a model on files of examples; `sets` are the task's own keys.
pub fn run(
    session: &Session,
    task: &TaskKind,
    (model, device): (&Path, Device),
    files: &[PathBuf],
    source: LabelledSection,
    sets: &[String],
) -> Result<Vec<Figure>> {
    let predictor = Predictor::open(model, device)?;
    let own = predictor.task().name;
    if own != task.name {
        return Err(Error::input(format!(
            "this model was fine-tuned for {own}, not {}",
            task.name
        ))
        .at(model.display())
        .hint(format!("--task {own}")));
    }
    let fields = Fields::new(task, source, sets)?;
    let mut bar = None;
    let found = predictor.evaluate(&fields, files, &mut |done, of| {
        if session.interrupt.is_set() {
            return Err(Error::interrupted("stopped while evaluating"));
        }
        bar.get_or_insert_with(|| session.console.bar("eval", of as u64, "examples"))
            .set(done as u64);
        Ok(())
    })?;
    if let (Some(bar), Some((what, n))) = (bar, found.counts.last()) {
        bar.finish(&format!("{n} {what}"));
    }
    let figures = found.figures.iter().map(|(figure, value)| Figure::new(figure.name, *value));
    let floor = found.floor.map(|(name, value)| Figure::new(name, value));
    let counts = found.counts.iter().map(|(name, count)| Figure::count(name, *count));
    Ok(figures.chain(floor).chain(counts).collect())
}
