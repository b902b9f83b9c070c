//! Labels of words against those that people gave: by word as scikit-learn scores them, by entity as
//! seqeval does.

use athanor_data::labelled::Part;
use athanor_finetune::{Predictor, tasks::token_classification as task};
use athanor_store::{Error, Result};

use super::{
    Figure, Subject, Task,
    classification::{BATCH, number},
};
use crate::{context::Context, signals};

/// The task.
pub const TASK: Task = Task {
    name: "token-classification",
    about: "labels of words: accuracy, macro F1; F1 of entities for B-, I- labels (--words, --labels)",
    writes: false,
    run,
};

fn run(context: &Context, subject: &Subject<'_>) -> Result<Vec<Figure>> {
    let predictor = Predictor::open(subject.model)?;
    if !predictor.labels_words() {
        return Err(Error::input("this model labels texts, not words")
            .at(subject.model.display())
            .hint("--task classification"));
    }
    let labels = predictor.labels();
    let mut examples = Vec::new();
    let section = subject.labelled;
    for path in subject.data {
        examples.extend(section.file(path, |_| Part::Heldout, &task::reader(section)?)?);
    }
    let _working = signals::working();
    let bar = context.console.bar("eval", examples.len() as u64, "sentences");
    let (mut right, mut predicted) = (Vec::new(), Vec::new());
    for batch in examples.chunks(BATCH) {
        if context.interrupt.is_set() {
            return Err(Error::interrupted("stopped while evaluating"));
        }
        for example in batch {
            let numbers = example.item.labels.iter().map(|l| number(labels, l, &example.place));
            right.push(numbers.collect::<Result<Vec<_>>>()?);
        }
        let words: Vec<_> = batch.iter().map(|e| e.item.words.clone()).collect();
        let tags = predictor.words(&words)?;
        predicted.extend(tags.into_iter().map(|t| t.into_iter().map(|t| t.label).collect()));
        bar.set(right.len() as u64);
    }
    bar.finish(&format!("{} sentences", right.len()));
    let (sentences, words) = (right.len(), right.iter().map(Vec::len).sum::<usize>());
    let score = task::Score::new(right, predicted);
    let mut figures: Vec<Figure> =
        score.figures(labels).into_iter().map(|(name, value)| Figure::new(name, value)).collect();
    figures.push(Figure::count("words", words as u64));
    figures.push(Figure::count("sentences", sentences as u64));
    Ok(figures)
}
