//! Classification of a text or of a pair of texts: one label each, cross-entropy on the scores of the
//! sequence head (Devlin et al. 2019, section 4.1; for decoders the last token's, Radford et al. 2018,
//! section 3.2).

use athanor_data::labelled::{Field, Part, Reader};
use athanor_data::{LabelledSection, Record};
use athanor_models::{Dropout, Head, Model, Pass, Row};
use athanor_store::{Done, Result};
use athanor_tensor::{Device, Graph, Ids, Var};
use athanor_text::Tokenizer;
use athanor_training::{Figures, Sample, load_tokenizer, set_tokens};
use serde_json::{Map, Value, json};

use super::TaskKind;
use crate::{
    encoding::{self, Encoded},
    examples::{self, Source},
    labels::Labels,
    metrics::Confusion,
    objective::{Objective, learn},
    predict::{best, softmax, surprise, text_scores},
    section::FinetuneSection,
    stage::{Job, Outcome},
};

/// The task's line in the registry.
pub const TASK: TaskKind =
    TaskKind { name: "classification", about: "a label for a text or a pair of texts", run };

/// A text, or two, with a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
    /// The label's name.
    pub label: String,
}

/// What makes a [`Text`] of a record, with the text that decides whether it is held out.
///
/// # Errors
/// Input, for a template that is wrong; of a record, for a field that it does not have.
pub fn reader(section: &LabelledSection) -> Result<Reader<Text>> {
    let (text, label) = (Field::new(&section.text)?, Field::new(&section.label)?);
    let pair = (!section.pair.is_empty()).then(|| Field::new(&section.pair)).transpose()?;
    Ok(Box::new(move |record: &Record| {
        let hint = |e: athanor_store::Error| {
            e.hint("`text`, `pair` and `label` name fields, or are templates over fields")
        };
        let one = |field: &Field| field.text(record).map_err(hint);
        let (text, label) = (one(&text)?, one(&label)?.trim().to_owned());
        let pair = pair.as_ref().map(one).transpose()?;
        let identity = match &pair {
            Some(pair) => format!("{text}\n{pair}"),
            None => text.clone(),
        };
        Ok((Text { text, pair, label }, identity))
    }))
}

/// A text as the model reads it.
struct Example {
    tokens: Encoded,
    label: usize,
    weight: f64,
}

struct Classification<'a> {
    section: &'a FinetuneSection,
    tokenizer: &'a Tokenizer,
    labels: &'a Labels,
    limit: usize,
    watched: Vec<Example>,
}

fn run(job: &Job<'_>) -> Result<Done> {
    let sources = examples::read(job, reader)?;
    let found = sources.iter().flat_map(Source::own).map(|e| e.item.label.as_str());
    let labels = Labels::collect(&job.section.labels, found)?;
    let head = Head::sequence(labels.names().len());
    let seed = job.run.seed;
    let mut model = Model::load_labelled(job.folder, head, labels.names(), seed, Device::Cpu)?;
    let tokenizer = load_tokenizer(job.folder, &model)?;
    set_tokens(&mut model, &tokenizer)?;
    model.config.insert("problem_type".into(), "single_label_classification".into());
    let limit = encoding::limit(job.section.context, &model, &tokenizer);
    let encode = |e: &athanor_data::Labelled<Text>, weight: f64| -> Result<Example> {
        let Text { text, pair, label } = &e.item;
        let tokens = encoding::texts(&tokenizer, text, pair.as_deref(), limit);
        let tokens = tokens.map_err(|error| error.at(&e.place))?;
        Ok(Example { tokens, label: labels.number(label, &e.place)?, weight })
    };
    let mut learned = Vec::new();
    for source in &sources {
        for example in source.of(Part::Train) {
            for _ in 0..source.section.repeat {
                learned.push(encode(example, source.section.weight)?);
            }
        }
    }
    let held: Vec<(&Source<'_, Text>, Vec<Example>)> = sources
        .iter()
        .map(|s| Ok((s, s.of(Part::Heldout).map(|e| encode(e, 1.0)).collect::<Result<_>>()?)))
        .collect::<Result<_>>()?;
    let watched = examples::watched(&sources, job.section.train.evaluate.items);
    let watched = watched.into_iter().map(|e| encode(e, 1.0)).collect::<Result<_>>()?;
    let objective = Classification {
        section: job.section,
        tokenizer: &tokenizer,
        labels: &labels,
        limit,
        watched,
    };
    let mut trainer = job.trainer(model)?;
    learn(&mut trainer, &job.section.train, &objective, &learned)?;

    let classes = labels.names().len();
    let mut counts = vec![0u64; classes];
    learned.iter().for_each(|e| counts[e.label] += 1);
    let majority = (0..classes).rev().max_by_key(|&c| counts[c]).unwrap_or(0);
    let mut outcome = Outcome::default();
    let mut all = Vec::new();
    for (source, held) in held.iter().filter(|(_, held)| !held.is_empty()) {
        let (_, pairs) = predict(&trainer.model, held);
        outcome.tasks.extend(tasks(&source.title, classes, &pairs, majority));
        all.extend(pairs);
    }
    if !all.is_empty() {
        let everything: Vec<&Example> = held.iter().flat_map(|(_, held)| held).collect();
        let (loss, _) = predict(&trainer.model, &everything);
        let confusion = Confusion::new(classes, all);
        outcome.told = format!("held-out accuracy {:.1} %", 100.0 * confusion.accuracy());
        outcome.figures = vec![("loss", loss)];
        outcome.details = details(&labels, &confusion);
    }
    outcome.details.insert("examples_train".into(), learned.len().into());
    job.finish(trainer, &tokenizer, None, outcome)
}

/// Mean loss, and (right, predicted) of each.
fn predict<E: std::borrow::Borrow<Example>>(
    model: &Model,
    examples: &[E],
) -> (f64, Vec<(usize, usize)>) {
    let rows: Vec<&Encoded> = examples.iter().map(|e| &e.borrow().tokens).collect();
    let scores = text_scores(model, &rows);
    let labels = || examples.iter().map(|e| e.borrow().label);
    let nats: f64 = scores.iter().zip(labels()).map(|(s, label)| surprise(s, label)).sum();
    let pairs = labels().zip(scores.iter().map(|s| best(s))).collect();
    (nats / examples.len().max(1) as f64, pairs)
}

/// The figures of classes, with those of always saying `majority`: (name, value, baseline).
pub fn figures(
    classes: usize,
    pairs: &[(usize, usize)],
    majority: usize,
) -> Vec<(&'static str, f64, f64)> {
    let own = Confusion::new(classes, pairs.iter().copied());
    let other = Confusion::new(classes, pairs.iter().map(|p| (p.0, majority)));
    let mut all = vec![
        ("accuracy", own.accuracy(), other.accuracy()),
        ("macro_f1", own.macro_f1(), other.macro_f1()),
        ("matthews", own.matthews(), other.matthews()),
    ];
    if classes == 2 {
        // Of the second label: GLUE's 1.
        all.push(("f1", own.of(1).f1, other.of(1).f1));
    }
    all
}

fn tasks(
    name: &str,
    classes: usize,
    pairs: &[(usize, usize)],
    majority: usize,
) -> impl Iterator<Item = Value> {
    figures(classes, pairs, majority).into_iter().map(move |(metric, value, baseline)| {
        json!({
            "name": name, "metric": metric, "value": value, "baseline": baseline,
            "baseline_is": "commonest label", "n": pairs.len(),
        })
    })
}

/// Labels above this make a matrix that nobody reads.
const MATRIX: usize = 40;
/// Confusions that are listed.
const CONFUSED: usize = 20;

/// What summary.json tells of each label, and which are taken for which.
pub(crate) fn details(labels: &Labels, confusion: &Confusion) -> Map<String, Value> {
    let names = labels.names();
    let per_label: Vec<Value> = (names.iter().enumerate())
        .map(|(i, name)| {
            let f = confusion.of(i);
            json!({
                "label": name, "precision": f.precision, "recall": f.recall, "f1": f.f1,
                "support": f.support, "predicted": f.predicted,
            })
        })
        .collect();
    let counts = confusion.counts();
    let mut confused: Vec<(u64, usize, usize)> = (0..names.len())
        .flat_map(|right| (0..names.len()).map(move |predicted| (right, predicted)))
        .filter(|(right, predicted)| right != predicted && counts[*right][*predicted] > 0)
        .map(|(right, predicted)| (counts[right][predicted], right, predicted))
        .collect();
    confused.sort_by_key(|&(n, right, predicted)| (std::cmp::Reverse(n), right, predicted));
    let confused: Vec<Value> = (confused.into_iter().take(CONFUSED))
        .map(|(n, a, b)| json!({ "right": names[a], "predicted": names[b], "n": n }))
        .collect();
    let mut details = Map::new();
    details.insert("per_label".into(), per_label.into());
    if names.len() <= MATRIX {
        details.insert("confusion".into(), json!({ "labels": names, "counts": counts }));
    }
    details.insert("confused".into(), confused.into());
    details
}

impl Objective for Classification<'_> {
    type Example = Example;

    fn rows<'a>(&self, example: &'a Example) -> Vec<Row<'a>> {
        vec![example.tokens.row()]
    }

    fn weight(&self, example: &Example) -> f64 {
        example.weight
    }

    fn loss(
        &self,
        model: &Model,
        graph: &Graph<'_>,
        batch: &[&Example],
        total: f64,
        dropout: Option<Dropout>,
    ) -> Var {
        let rows: Vec<Row<'_>> = batch.iter().map(|e| e.tokens.row()).collect();
        let padded = model.padded(&rows);
        let mut pass = Pass::new(graph, &padded.input).with_dropout(dropout).skip_padding();
        let hidden = model.hidden(&mut pass);
        let picked = model.pick(0, &hidden, &padded.ids);
        let labels = batch.iter().map(|e| e.label as i32).collect();
        let labels = Ids::new(model.device(), labels, [batch.len()]);
        let weights: Vec<f32> = batch.iter().map(|e| (e.weight / total) as f32).collect();
        model.dropped_loss(graph, 0, &picked, &labels, &weights, &mut |x| pass.drop(x)).0
    }

    fn evaluate(&self, model: &Model) -> Result<Figures> {
        if self.watched.is_empty() {
            return Ok(Vec::new());
        }
        let (loss, pairs) = predict(model, &self.watched);
        let confusion = Confusion::new(self.labels.names().len(), pairs);
        Ok(vec![
            ("loss", loss),
            ("accuracy", confusion.accuracy()),
            ("macro_f1", confusion.macro_f1()),
        ])
    }

    fn sample(&self, model: &Model) -> Result<Vec<Sample>> {
        let prompts = &self.section.sample_prompts;
        let encode = |text: &String| encoding::texts(self.tokenizer, text, None, self.limit);
        let rows: Vec<Encoded> = prompts.iter().map(encode).collect::<Result<_>>()?;
        let scores = text_scores(model, &rows.iter().collect::<Vec<_>>());
        let sample = |(prompt, scores): (&String, Vec<f32>)| {
            let label = best(&scores);
            let share = softmax(&scores)[label];
            let text = format!("{} ({share:.2})", self.labels.names()[label]);
            Sample { prompt: prompt.clone(), text, reward: None }
        };
        Ok(prompts.iter().zip(scores).map(sample).collect())
    }
}
