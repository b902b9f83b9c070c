//! A label for each word: names in a text, parts of speech. The first token of a word has its label, the
//! others have none (Devlin et al. 2019, section 5.3, and transformers' run_ner). A sentence that does not
//! fit into the model is read in pieces, cut between words.

use std::collections::{BTreeMap, HashMap};

use athanor_data::labelled::{Field, Part, Reader, list};
use athanor_data::{Expression, LabelledSection, Record};
use athanor_models::{Dropout, Head, Model, Pass, Row};
use athanor_store::{Done, Error, Result};
use athanor_tensor::{Device, Graph, Ids, Var};
use athanor_text::Tokenizer;
use athanor_training::{Figures, Sample, load_tokenizer, set_tokens};
use serde_json::{Value, json};

use super::{TaskKind, classification};
use crate::{
    encoding::{self, Piece, Stands},
    examples,
    labels::Labels,
    metrics::{Confusion, Entities},
    objective::{Objective, learn},
    predict::{places, sentence_tags, surprise},
    section::FinetuneSection,
    stage::{Job, Outcome},
};

/// The task's line in the registry.
pub const TASK: TaskKind =
    TaskKind { name: "token_classification", about: "a label for each word", run };

/// Words with their labels' names.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// The words.
    pub words: Vec<String>,
    /// A label each.
    pub labels: Vec<String>,
}

/// What makes a [`Sentence`] of a record, with the text that decides whether it is held out.
///
/// # Errors
/// As [`classification::reader`].
pub fn reader(section: &LabelledSection) -> Result<Reader<Sentence>> {
    let (words, labels) = (section.words.clone(), section.labels.clone());
    let (of_words, of_labels) = (Expression::new(&words)?, Expression::new(&labels)?);
    let label = Field::new(&section.label)?;
    let known: std::cell::RefCell<HashMap<(String, String), String>> = Default::default();
    Ok(Box::new(move |record: &Record| {
        let words = list(&of_words, &words, record)?;
        let mut labels = list(&of_labels, &labels, record)?;
        if words.len() != labels.len() {
            return Err(Error::input(format!("{} words, {} labels", words.len(), labels.len()))
                .hint("each word has one label"));
        }
        if !label.is("label") {
            let mut known = known.borrow_mut();
            for (word, own) in words.iter().zip(&mut labels) {
                let key = (word.clone(), own.clone());
                if let Some(found) = known.get(&key) {
                    own.clone_from(found);
                    continue;
                }
                let fields = json!({ "word": word, "label": own });
                let fields = Record(fields.as_object().cloned().unwrap_or_default());
                *own = label.text(&fields)?;
                known.insert(key, own.clone());
            }
        }
        let identity = words.join(" ");
        Ok((Sentence { words, labels }, identity))
    }))
}

/// A piece of a sentence with the labels of its words.
struct Example {
    piece: Piece,
    labels: Vec<usize>,
    weight: f64,
}

/// A whole sentence to be measured on.
struct Measured {
    words: Vec<String>,
    labels: Vec<usize>,
    pieces: Vec<Piece>,
}

struct Tagging<'a> {
    section: &'a FinetuneSection,
    tokenizer: &'a Tokenizer,
    labels: &'a Labels,
    limit: usize,
    watched: Vec<Measured>,
}

fn run(job: &Job<'_>) -> Result<Done> {
    let sources = examples::read(job, reader)?;
    let own = sources.iter().flat_map(examples::Source::own);
    let found = own.flat_map(|e| e.item.labels.iter().map(String::as_str));
    let labels = Labels::collect(&job.section.labels, found)?;
    let head = Head::token(labels.names().len());
    let seed = job.run.seed;
    let mut model = Model::load_labelled(job.folder, head, labels.names(), seed, Device::Cpu)?;
    let tokenizer = load_tokenizer(job.folder, &model)?;
    set_tokens(&mut model, &tokenizer)?;
    let limit = encoding::limit(job.section.context, &model, &tokenizer);
    let stands = Stands::of(&model);
    let measured = |e: &athanor_data::Labelled<Sentence>| -> Result<Measured> {
        let numbers = e.item.labels.iter().map(|l| labels.number(l, &e.place));
        let pieces = encoding::words(&tokenizer, &e.item.words, limit, stands);
        Ok(Measured {
            words: e.item.words.clone(),
            labels: numbers.collect::<Result<_>>()?,
            pieces: pieces.map_err(|error| error.at(&e.place))?,
        })
    };
    let mut learned = Vec::new();
    let mut counts = WordCounts::new(labels.names().len());
    for source in &sources {
        for example in source.of(Part::Train) {
            let Measured { words, labels, pieces } = measured(example)?;
            counts.add(&words, &labels);
            for piece in pieces.iter().filter(|p| !p.words.is_empty()) {
                let own: Vec<usize> = piece.words.iter().map(|w| labels[w.0]).collect();
                let weight = source.section.weight;
                let new = || Example { piece: piece.clone(), labels: own.clone(), weight };
                learned.extend(std::iter::repeat_with(new).take(source.section.repeat));
            }
        }
    }
    let mut held = Vec::new();
    for source in &sources {
        let sentences = source.of(Part::Heldout).map(measured).collect::<Result<Vec<_>>>()?;
        if !sentences.is_empty() {
            held.push((source.title.clone(), sentences));
        }
    }
    let watched = examples::watched(&sources, job.section.train.evaluate.items);
    let watched = watched.into_iter().map(measured).collect::<Result<_>>()?;
    let objective =
        Tagging { section: job.section, tokenizer: &tokenizer, labels: &labels, limit, watched };
    let mut trainer = job.trainer(model)?;
    learn(&mut trainer, &job.section.train, &objective, &learned)?;

    let mut outcome = Outcome::default();
    let mut all = Score::default();
    for (title, sentences) in &held {
        let score = Score::of(&trainer.model, &labels, sentences);
        let by_word: Vec<Vec<usize>> = sentences.iter().map(|s| counts.tags(&s.words)).collect();
        let majority: Vec<Vec<usize>> =
            sentences.iter().map(|s| vec![counts.commonest; s.words.len()]).collect();
        let (by_word, majority) = (score.instead(by_word), score.instead(majority));
        for (i, (metric, value)) in score.figures(&labels).into_iter().enumerate() {
            outcome.tasks.push(json!({
                "name": title, "metric": metric, "value": value,
                "baseline": by_word.figures(&labels)[i].1,
                "baseline_is": "commonest label of the word",
                "majority": majority.figures(&labels)[i].1,
                "n": score.words(),
            }));
        }
        all.extend(score);
    }
    if !held.is_empty() {
        let confusion = all.confusion(&labels);
        outcome.told = format!("held-out accuracy {:.1} % of words", 100.0 * confusion.accuracy());
        outcome.figures = vec![("loss", all.loss())];
        outcome.details = classification::details(&labels, &confusion);
        if labels.spans() {
            let kinds = all.entities(&labels).kinds;
            outcome.details.insert("per_entity".into(), per_entity(&kinds).into());
        }
    }
    outcome.details.insert("examples_train".into(), learned.len().into());
    job.finish(trainer, &tokenizer, None, outcome)
}

fn per_entity(kinds: &BTreeMap<String, crate::metrics::EntityFigures>) -> Vec<Value> {
    let one = |(kind, f): (&String, &crate::metrics::EntityFigures)| {
        json!({
            "label": kind, "precision": f.precision(), "recall": f.recall(), "f1": f.f1(),
            "support": f.support, "predicted": f.predicted,
        })
    };
    kinds.iter().map(one).collect()
}

/// How often words have labels: the baseline that says for each word what it mostly is.
struct WordCounts {
    words: HashMap<String, BTreeMap<usize, u64>>,
    all: Vec<u64>,
    commonest: usize,
}

impl WordCounts {
    fn new(labels: usize) -> Self {
        Self { words: HashMap::new(), all: vec![0; labels], commonest: 0 }
    }

    fn add(&mut self, words: &[String], labels: &[usize]) {
        for (word, &label) in words.iter().zip(labels) {
            *self.words.entry(word.clone()).or_default().entry(label).or_default() += 1;
            self.all[label] += 1;
            if self.all[label] > self.all[self.commonest] {
                self.commonest = label;
            }
        }
    }

    /// A word's commonest label; the commonest of all for an unknown word.
    fn tags(&self, words: &[String]) -> Vec<usize> {
        let tag = |word: &String| match self.words.get(word) {
            None => self.commonest,
            Some(counts) => {
                counts.iter().rev().max_by_key(|(_, n)| **n).map_or(self.commonest, |(l, _)| *l)
            }
        };
        words.iter().map(tag).collect()
    }
}

/// Sentences with right and predicted labels.
#[derive(Default)]
pub struct Score {
    right: Vec<Vec<usize>>,
    predicted: Vec<Vec<usize>>,
    nats: f64,
    /// Words that have a loss.
    scored: usize,
}

impl Score {
    /// Of labels that are right and labels that were predicted.
    pub fn new(right: Vec<Vec<usize>>, predicted: Vec<Vec<usize>>) -> Self {
        Self { right, predicted, nats: 0.0, scored: 0 }
    }

    fn of(model: &Model, labels: &Labels, sentences: &[Measured]) -> Self {
        let pieces: Vec<Vec<Piece>> = sentences.iter().map(|s| s.pieces.clone()).collect();
        let counts: Vec<usize> = sentences.iter().map(|s| s.words.len()).collect();
        let (tags, scores) = sentence_tags(model, labels, &pieces, &counts);
        let predicted = tags.into_iter().map(|t| t.into_iter().map(|t| t.label).collect());
        let right = sentences.iter().map(|s| s.labels.clone()).collect();
        let mut score = Self::new(right, predicted.collect());
        for (sentence, scores) in sentences.iter().zip(&scores) {
            for (piece, scores) in sentence.pieces.iter().zip(scores) {
                for (&(word, _), scores) in piece.words.iter().zip(scores) {
                    score.nats += surprise(scores, sentence.labels[word]);
                    score.scored += 1;
                }
            }
        }
        score
    }

    /// The same sentences with other predictions.
    fn instead(&self, predicted: Vec<Vec<usize>>) -> Self {
        Self::new(self.right.clone(), predicted)
    }

    fn extend(&mut self, other: Self) {
        self.right.extend(other.right);
        self.predicted.extend(other.predicted);
        self.nats += other.nats;
        self.scored += other.scored;
    }

    fn words(&self) -> usize {
        self.right.iter().map(Vec::len).sum()
    }

    fn loss(&self) -> f64 {
        self.nats / self.scored.max(1) as f64
    }

    /// Word by word.
    pub fn confusion(&self, labels: &Labels) -> Confusion {
        let right = self.right.iter().flatten().copied();
        let pairs = right.zip(self.predicted.iter().flatten().copied());
        Confusion::new(labels.names().len(), pairs)
    }

    /// Entities, where the labels mark some.
    pub fn entities(&self, labels: &Labels) -> Entities {
        let names = |all: &[usize]| -> Vec<&str> {
            all.iter().map(|&l| labels.names()[l].as_str()).collect()
        };
        let mut entities = Entities::default();
        for (right, predicted) in self.right.iter().zip(&self.predicted) {
            entities.add(&names(right), &names(predicted));
        }
        entities
    }

    /// All figures by name; those of entities first where the labels mark some.
    pub fn figures(&self, labels: &Labels) -> Vec<(&'static str, f64)> {
        let confusion = self.confusion(labels);
        let mut all = vec![("accuracy", confusion.accuracy()), ("macro_f1", confusion.macro_f1())];
        if labels.spans() {
            let f = self.entities(labels).all();
            let entities = [
                ("entity_f1", f.f1()),
                ("entity_precision", f.precision()),
                ("entity_recall", f.recall()),
            ];
            all.splice(0..0, entities);
        }
        all
    }
}

impl Objective for Tagging<'_> {
    type Example = Example;

    fn rows<'a>(&self, example: &'a Example) -> Vec<Row<'a>> {
        vec![example.piece.tokens.row()]
    }

    fn weight(&self, example: &Example) -> f64 {
        example.weight * example.labels.len() as f64
    }

    fn loss(
        &self,
        model: &Model,
        graph: &Graph<'_>,
        batch: &[&Example],
        total: f64,
        dropout: Option<Dropout>,
    ) -> Var {
        let rows: Vec<Row<'_>> = batch.iter().map(|e| e.piece.tokens.row()).collect();
        let padded = model.padded(&rows);
        let mut pass = Pass::new(graph, &padded.input).with_dropout(dropout).skip_padding();
        let hidden = model.hidden(&mut pass);
        let pieces: Vec<&Piece> = batch.iter().map(|e| &e.piece).collect();
        let places = places(&pieces, &padded).into_iter().map(|p| p as i32).collect();
        let picked = model.rows(&hidden, places);
        let labels: Vec<i32> =
            batch.iter().flat_map(|e| e.labels.iter().map(|&l| l as i32)).collect();
        let weight = |e: &&Example| vec![(e.weight / total) as f32; e.labels.len()];
        let weights: Vec<f32> = batch.iter().flat_map(weight).collect();
        let labels = Ids::new(model.device(), labels, [weights.len()]);
        model.dropped_loss(graph, 0, &picked, &labels, &weights, &mut |x| pass.drop(x)).0
    }

    fn evaluate(&self, model: &Model) -> Result<Figures> {
        if self.watched.is_empty() {
            return Ok(Vec::new());
        }
        let score = Score::of(model, self.labels, &self.watched);
        let mut figures = vec![("loss", score.loss())];
        figures.extend(score.figures(self.labels));
        Ok(figures)
    }

    fn sample(&self, model: &Model) -> Result<Vec<Sample>> {
        let prompts = &self.section.sample_prompts;
        let split = |p: &String| p.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let words: Vec<Vec<String>> = prompts.iter().map(split).collect();
        let encode =
            |w: &Vec<String>| encoding::words(self.tokenizer, w, self.limit, Stands::of(model));
        let pieces: Vec<Vec<Piece>> = words.iter().map(encode).collect::<Result<_>>()?;
        let counts: Vec<usize> = words.iter().map(Vec::len).collect();
        let (tags, _) = sentence_tags(model, self.labels, &pieces, &counts);
        let sample = |((prompt, words), tags): ((&String, &Vec<String>), Vec<_>)| {
            let tagged = words
                .iter()
                .zip(&tags)
                .map(|(w, t): (_, &crate::Tag)| format!("{w}/{}", self.labels.names()[t.label]));
            let text = tagged.collect::<Vec<_>>().join(" ");
            Sample { prompt: prompt.clone(), text, reward: None }
        };
        Ok(prompts.iter().zip(&words).zip(tags).map(sample).collect())
    }
}
