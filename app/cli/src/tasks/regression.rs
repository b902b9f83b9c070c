//! Numbers for texts or pairs against those that people gave, as scipy correlates them.

use athanor_data::labelled::Part;
use athanor_finetune::{Predictor, tasks};
use athanor_store::{Error, Result};

use super::{Figure, Subject, Task, classification::BATCH};
use crate::{context::Context, signals};

/// The task.
pub const TASK: Task = Task {
    name: "regression",
    about: "numbers for texts or pairs: Pearson, Spearman, mean square error (--label, --pair)",
    writes: false,
    run,
};

fn run(context: &Context, subject: &Subject<'_>) -> Result<Vec<Figure>> {
    let predictor = Predictor::open(subject.model)?;
    if !predictor.gives_numbers() {
        return Err(Error::input("this model gives labels, not numbers")
            .at(subject.model.display())
            .hint("--task classification or token-classification"));
    }
    let section = subject.labelled;
    let mut examples = Vec::new();
    for path in subject.data {
        let reader = tasks::classification::reader(section)?;
        examples.extend(section.file(path, |_| Part::Heldout, &reader)?);
    }
    let _working = signals::working();
    let bar = context.console.bar("eval", examples.len() as u64, "examples");
    let (mut right, mut said) = (Vec::new(), Vec::new());
    for batch in examples.chunks(BATCH) {
        if context.interrupt.is_set() {
            return Err(Error::interrupted("stopped while evaluating"));
        }
        for example in batch {
            right.push(tasks::regression::number(&example.item.label, &example.place)?);
        }
        let texts: Vec<_> =
            batch.iter().map(|e| (e.item.text.clone(), e.item.pair.clone())).collect();
        said.extend(predictor.numbers(&texts)?);
        bar.set(right.len() as u64);
    }
    bar.finish(&format!("{} examples", right.len()));
    let figures = tasks::regression::figures(&right, &said);
    let figures = figures.into_iter().map(|(name, value)| Figure::new(name, value));
    Ok(figures.chain([Figure::count("examples", right.len() as u64)]).collect())
}
