//! Fine-tuning, the same for all tasks: read, encode, learn, measure, write.

use athanor_data::{Labelled, Shares, Split};
use athanor_models::Model;
use athanor_store::{
    Done, Error, Result,
    figures::{FinetuneSummary, LOSS, PERPLEXITY, TaskFigure, Training},
};
use athanor_training::{Figures, Forward, Loss, MicroBatch, Sample, Trainer, fit, save_model};
use serde_json::{Value, json};

use crate::{
    batches::Batches,
    job::Job,
    settings::{ExampleSection, Settings},
    task::{Asked, Example, Item, Kit, Task, mean_loss, predict_all},
};

/// A source, and what the task made of its records.
struct Source<'a, T: Task> {
    section: &'a ExampleSection,
    records: Vec<Labelled<Asked<T::Question>>>,
}

impl<T: Task> Source<'_, T> {
    fn of(&self, split: Split) -> impl Iterator<Item = &Labelled<Asked<T::Question>>> {
        self.records.iter().filter(move |r| r.split == split)
    }

    /// The answers of the file that is learned from, those of it that are held out among them: a label that is
    /// so rare that chance holds out all of its examples is a label all the same.
    fn answers(&self) -> impl Iterator<Item = &[String]> {
        let separate = self.section.examples.as_ref().is_some_and(|e| e.heldout.is_some());
        let own = self.records.iter().filter(move |r| !separate || r.split != Split::Heldout);
        own.map(|r| &r.item.answers[..])
    }
}

/// Learns a task and writes the model.
pub(crate) fn run<T: Task>(job: &Job<'_>) -> Result<Done<FinetuneSummary>> {
    let section = job.section;
    let shares = Shares {
        heldout: section.heldout_per_thousand as u64,
        validation: section.validation_per_thousand as u64,
    };
    let read = |source| -> Result<Source<'_, T>> {
        let records = T::read(section, source, &job.run.recipe, shares)?;
        Ok(Source { section: source, records })
    };
    let sources = section.data.iter().map(read).collect::<Result<Vec<_>>>()?;
    let answers: Vec<&[String]> = sources.iter().flat_map(Source::answers).collect();
    let task = T::new(section, &answers)?;
    let (model, kit) = task.open(section, job.folder, job.run.seed, job.context.device())?;
    let encode = |r: &Labelled<Asked<T::Question>>, weight: f64| -> Result<Example<T>> {
        let question = r.item.question.clone();
        let rows = task.rows(&kit, &question).map_err(|e| e.at(&r.place))?;
        let answer = task.answer(&r.item.answers, &r.place)?;
        Ok(Example { question, answer, rows, weight, hash: r.hash })
    };
    let encode_all = |source: &Source<'_, T>, split, weight| -> Result<Vec<Example<T>>> {
        let all = source.of(split).map(|r| encode(r, weight));
        all.filter(|e| e.as_ref().map_or(true, |e| !e.rows.is_empty())).collect()
    };
    let (mut learned, mut repeats) = (Vec::new(), Vec::new());
    let (mut validation, mut held) = (Vec::new(), Vec::new());
    for source in &sources {
        let own = encode_all(source, Split::Train, source.section.weight)?;
        repeats.extend(std::iter::repeat_n(source.section.repeat, own.len()));
        learned.extend(own);
        validation.extend(encode_all(source, Split::Validation, 1.0)?);
        held.push(encode_all(source, Split::Heldout, 1.0)?);
    }
    drop(sources);
    let watched = watched(&validation, &held, section.train.evaluate.items);
    let mut trainer = job.trainer(model)?;
    let mut learner =
        Learner::new(&task, &kit, section, &learned, &repeats, watched, job.run.seed)?;
    let rows = learner.items.len();
    let last = fit(&mut trainer, &mut learner)?;
    let mut outcome = measure(&task, &trainer.model, &kit, section, &learned, &held)?;
    if T::PACKED {
        // The loss is that of rows, not of answers.
        let held: Vec<&Example<T>> = held.iter().flatten().collect();
        outcome.figures = match validation.is_empty() || held.is_empty() {
            true => last,
            false => task.evaluate(&trainer.model, &kit, &section.train, &held)?,
        };
    }
    finish(job, trainer, &kit, outcome, rows)
}

/// What measures while training: the validation examples, or the held-out ones where there are none; at most
/// `most`, in an order by their hash, so that a sorted file does not show. Where examples are packed, `most`
/// counts rows, and the order is the file's.
fn watched<'a, T: Task>(
    validation: &'a [Example<T>],
    held: &'a [Vec<Example<T>>],
    most: usize,
) -> Vec<&'a Example<T>> {
    let mut found: Vec<&Example<T>> = match validation.is_empty() {
        true => held.iter().flatten().collect(),
        false => validation.iter().collect(),
    };
    if !T::PACKED {
        found.sort_by_key(|e| e.hash);
        found.truncate(most);
    }
    found
}

/// What training a task leaves.
#[derive(Default)]
struct Outcome {
    /// Figures on held-out data, the loss first.
    figures: Figures,
    /// What the progress bar ends with.
    message: String,
    /// One entry for each source and metric, as summary.json has them.
    tasks: Vec<TaskFigure>,
    /// The fields of summary.json that only this task has.
    details: FinetuneSummary,
}

/// The figures of held-out examples, source by source and of all together.
fn measure<T: Task>(
    task: &T,
    model: &Model,
    kit: &Kit,
    section: &Settings,
    learned: &[Example<T>],
    held: &[Vec<Example<T>>],
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let (mut all, mut all_said) = (Vec::new(), Vec::new());
    for (source, held) in section.data.iter().zip(held) {
        let held: Vec<&Example<T>> = held.iter().take(T::measured(source)).collect();
        if held.is_empty() {
            continue;
        }
        let said = predict_all(task, model, kit, &held)?;
        let right: Vec<&T::Answer> = held.iter().map(|e| &e.answer).collect();
        let n = T::counts(&right)[0].1;
        let baselines = task.baselines(learned, &held);
        let others: Vec<_> =
            baselines.iter().map(|(name, said)| (name, task.score(&right, said))).collect();
        for (i, (metric, value)) in task.score(&right, &said).into_iter().enumerate() {
            let mut entry = TaskFigure::new(&source.title(), metric, value, n);
            if let Some((name, scores)) = others.first() {
                entry.baseline = Some(scores[i].1);
                entry.baseline_is = Some((**name).to_owned());
            }
            let further = others.iter().skip(1);
            entry.others =
                further.map(|(name, scores)| ((**name).to_owned(), json!(scores[i].1))).collect();
            outcome.tasks.push(entry);
        }
        all.extend(held);
        all_said.extend(said);
    }
    if !all.is_empty() {
        let right: Vec<&T::Answer> = all.iter().map(|e| &e.answer).collect();
        outcome.figures = vec![(LOSS.name, mean_loss(task, &right, &all_said))];
        if let Some((metric, value)) = task.score(&right, &all_said).first() {
            outcome.message = format!("held-out {} {}", metric.title, metric.show(*value));
        }
        outcome.details = task.details(&right, &all_said);
    }
    Ok(outcome)
}

/// Writes the model; gives the summary.
fn finish(
    job: &Job<'_>,
    trainer: Trainer<'_>,
    kit: &Kit,
    outcome: Outcome,
    learned: usize,
) -> Result<Done<FinetuneSummary>> {
    let Outcome { figures, mut message, tasks, details } = outcome;
    let figure = |name: &str| figures.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    if let (true, Some(loss)) = (message.is_empty(), figure(LOSS.name)) {
        message = format!("held-out loss {loss:.3}");
    }
    let (seconds, tokens, withheld) = (trainer.seconds(), trainer.tokens(), trainer.withheld());
    let parameters = trainer.model.params.count();
    let mut model = trainer.close(&message)?;
    let folder = job.context.folder.path("model");
    save_model(&folder, &mut model, &kit.tokenizer, kit.template.as_ref())?;
    let summary = FinetuneSummary {
        task: job.section.task.clone(),
        training: Training {
            seconds: Some(seconds),
            parameters: Some(parameters as u64),
            tokens: Some(tokens),
        },
        heldout_loss: figure(LOSS.name),
        heldout_perplexity: figure(PERPLEXITY.name),
        tasks,
        withheld_updates: Some(withheld),
        examples_train: Some(learned as u64),
        ..details
    };
    Ok(Done { seconds, summary })
}

/// Walks the examples.
struct Learner<'a, T: Task> {
    task: &'a T,
    kit: &'a Kit,
    section: &'a Settings,
    examples: &'a [Example<T>],
    /// The rows that are learned from: example and row.
    items: Vec<(usize, usize)>,
    /// What stands in one row: one item, or several that are packed.
    units: Vec<Vec<usize>>,
    batches: Batches,
    watched: Vec<&'a Example<T>>,
    /// Mean tokens of a row.
    time: usize,
    seed: u64,
}

impl<'a, T: Task> Learner<'a, T> {
    fn new(
        task: &'a T,
        kit: &'a Kit,
        section: &'a Settings,
        examples: &'a [Example<T>],
        repeats: &[usize],
        watched: Vec<&'a Example<T>>,
        seed: u64,
    ) -> Result<Self> {
        let mut items = Vec::new();
        for (i, (example, &repeat)) in examples.iter().zip(repeats).enumerate() {
            for (row, _) in example.rows.iter().enumerate().filter(|(_, r)| T::targets(r) > 0) {
                items.extend(std::iter::repeat_n((i, row), repeat));
            }
        }
        if items.is_empty() {
            let (what, hint) = T::NOTHING;
            return Err(Error::input(what).at("finetune.data").hint(hint));
        }
        let lengths: Vec<usize> =
            items.iter().map(|&(i, row)| T::tokens(&examples[i].rows[row])).collect();
        let time = lengths.iter().sum::<usize>() / lengths.len();
        let train = &section.train;
        let (batch, accumulate) = (train.batch_size, train.accumulate);
        let (units, batches, time) = if T::PACKED {
            let units = athanor_data::pack(&lengths, kit.limit);
            let batches = Batches::of_rows(units.len(), batch, accumulate, seed);
            (units, batches, kit.limit)
        } else {
            let units = (0..items.len()).map(|i| vec![i]).collect();
            (units, Batches::by_length(lengths, batch, accumulate, seed), time)
        };
        Ok(Self { task, kit, section, examples, items, units, batches, watched, time, seed })
    }

    fn item(&self, item: usize) -> Item<'a, T> {
        let (example, row) = self.items[item];
        let example = &self.examples[example];
        Item { row: &example.rows[row], answer: &example.answer, weight: example.weight }
    }

    fn rows(&self, units: &[usize]) -> Vec<Vec<Item<'a, T>>> {
        let unit = |&unit: &usize| self.units[unit].iter().map(|&i| self.item(i)).collect();
        units.iter().map(unit).collect()
    }
}

impl<T: Task> athanor_training::Task for Learner<'_, T> {
    type Batch = Vec<usize>;

    fn batches(&mut self, step: u64) -> Result<Vec<MicroBatch<Vec<usize>>>> {
        let batches = self.batches.step(step);
        let micro = |batch: Vec<usize>| {
            let rows = self.rows(&batch);
            let tokens = rows.iter().flatten().map(|item| T::tokens(item.row)).sum();
            let weight = |item: &Item<'_, T>| item.weight * T::targets(item.row) as f64;
            let weight = rows.iter().flatten().map(weight).sum();
            MicroBatch { batch, weight, tokens }
        };
        Ok(batches.into_iter().map(micro).collect())
    }

    fn loss(&self, forward: Forward<'_>, batch: &Vec<usize>, total: f64) -> Result<Loss> {
        let loss = self.task.loss(forward, &self.rows(batch), total);
        Ok(Loss { loss, figures: Vec::new() })
    }

    fn evaluate(&mut self, model: &Model) -> Result<Figures> {
        match self.watched.is_empty() {
            true => Ok(Vec::new()),
            false => self.task.evaluate(model, self.kit, &self.section.train, &self.watched),
        }
    }

    fn sample(&mut self, model: &Model) -> Result<Vec<Sample>> {
        self.task.sample(model, self.kit, self.section, self.seed)
    }

    fn time(&self, _: &Model) -> usize {
        self.time
    }

    fn cursor(&self, step: u64) -> Value {
        json!(self.batches.cursor(step))
    }
}
