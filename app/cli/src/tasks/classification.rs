//! Labels of texts or pairs against those that people gave, as scikit-learn scores them.

use athanor_data::labelled::Part;
use athanor_finetune::{Labels, Predictor, tasks::classification as task};
use athanor_store::{Error, Result};

use super::{Figure, Subject, Task};
use crate::{context::Context, signals};

/// The task.
pub const TASK: Task = Task {
    name: "classification",
    about: "labels of texts or pairs: accuracy, macro F1, Matthews' correlation (--label, --pair)",
    writes: false,
    run,
};

/// Examples between two looks at the bar.
pub const BATCH: usize = 1024;

fn run(context: &Context, subject: &Subject<'_>) -> Result<Vec<Figure>> {
    let predictor = Predictor::open(subject.model)?;
    if predictor.labels_words() || predictor.gives_numbers() {
        return Err(Error::input("this model does not label texts")
            .at(subject.model.display())
            .hint("--task token-classification is for labels of words, regression for numbers"));
    }
    let labels = predictor.labels();
    let mut examples = Vec::new();
    let section = subject.labelled;
    for path in subject.data {
        examples.extend(section.file(path, |_| Part::Heldout, &task::reader(section)?)?);
    }
    let _working = signals::working();
    let bar = context.console.bar("eval", examples.len() as u64, "examples");
    let mut pairs = Vec::new();
    for batch in examples.chunks(BATCH) {
        if context.interrupt.is_set() {
            return Err(Error::interrupted("stopped while evaluating"));
        }
        let right = batch
            .iter()
            .map(|e| number(labels, &e.item.label, &e.place))
            .collect::<Result<Vec<_>>>()?;
        let texts: Vec<_> =
            batch.iter().map(|e| (e.item.text.clone(), e.item.pair.clone())).collect();
        let best = predictor.texts(&texts)?.into_iter().map(|shares| {
            (0..shares.len()).fold(0, |best, i| if shares[i] > shares[best] { i } else { best })
        });
        pairs.extend(right.into_iter().zip(best));
        bar.set(pairs.len() as u64);
    }
    bar.finish(&format!("{} examples", pairs.len()));
    let classes = labels.names().len();
    let mut counts = vec![0u64; classes];
    pairs.iter().for_each(|p| counts[p.0] += 1);
    let mut figures: Vec<Figure> = task::figures(classes, &pairs, 0)
        .into_iter()
        .map(|(name, value, _)| Figure::new(name, value))
        .collect();
    let most = counts.iter().max().copied().unwrap_or(0);
    figures.push(Figure::new("commonest_label", most as f64 / pairs.len().max(1) as f64));
    figures.push(Figure::count("examples", pairs.len() as u64));
    Ok(figures)
}

/// A label's number; data sets that number their labels are understood, too.
pub fn number(labels: &Labels, name: &str, place: &str) -> Result<usize> {
    let found = labels.number(name, place);
    let number = name.parse().ok().filter(|&n: &usize| n < labels.names().len());
    found.or_else(|e| number.ok_or(e))
}
