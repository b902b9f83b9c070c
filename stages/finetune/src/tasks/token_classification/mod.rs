//! A label for each word: names in a text, parts of speech. The first token of a word has its label, the
//! others have none (Devlin et al. 2019, section 5.3, and transformers' run_ner). A sentence that does not
//! fit into the model is read in pieces, cut between words.

mod scores;

use std::collections::{BTreeMap, HashMap};

use athanor_data::labelled::{Field, list};
use athanor_data::{Expression, LabelledSection, Record};
use athanor_models::{Head, Model};
use athanor_store::{
    Error, Figure, Result,
    figures::{FinetuneSummary, LabelRow},
};
use athanor_tensor::{Ids, Var};
use athanor_training::Forward;
use serde_json::{Map, Value, json};

use crate::{
    details,
    encoding::{self, Encoded, Piece, WordAnchor},
    labels::Labels,
    metrics::{
        ACCURACY, Confusion, ENTITY_F1, ENTITY_PRECISION, ENTITY_RECALL, Entities, EntityFigures,
        MACRO_F1,
    },
    scores::{best, hidden, negative_log_likelihood, padded},
    settings::Settings,
    task::{Baseline, Example, Item, Kit, Read, Shown, Task},
};
use scores::{places, word_scores};

pub struct TokenClassification {
    labels: Labels,
}

/// What is said of a word.
#[derive(Clone, Debug)]
pub struct Tagged {
    /// The label's number; `O`, or the first label, for a word without tokens.
    label: usize,
    /// A score for each label; none for a word without tokens.
    scores: Option<Vec<f32>>,
}

impl Task for TokenClassification {
    /// The words of a sentence.
    type Question = Vec<String>;
    type Answer = Vec<usize>;
    type Row = Piece;
    type Prediction = Vec<Tagged>;

    const NAME: &'static str = "token_classification";
    const ABOUT: &'static str = "a label for each word";
    const USES: &'static [&'static str] =
        &["labels", "data.examples.words", "data.examples.labels", "data.examples.label"];
    const UNIT: &'static str = "sentences";

    /// A record that has a text and no words is cut at its spaces.
    fn question(_: &Settings, source: &LabelledSection) -> Result<Read<Vec<String>>> {
        let (words, text) = (source.words.clone(), Field::new(&source.text)?);
        let of_words = Expression::new(&words)?;
        Ok(Box::new(move |record| match list(&of_words, &words, record) {
            Err(e) if record.0.contains_key(&words) => Err(e),
            Err(e) => {
                let text = text.text(record).map_err(|_| e)?;
                Ok(text.split_whitespace().map(str::to_owned).collect())
            }
            words => words,
        }))
    }

    /// `label` may be a template over `word` and `label`: it makes labels of labels.
    fn answers(_: &Settings, source: &LabelledSection) -> Result<Read<Vec<String>>> {
        let (words, labels) = (source.words.clone(), source.labels.clone());
        let (of_words, of_labels) = (Expression::new(&words)?, Expression::new(&labels)?);
        let label = Field::new(&source.label)?;
        let known: std::cell::RefCell<HashMap<(String, String), String>> = Default::default();
        Ok(Box::new(move |record: &Record| {
            let words = list(&of_words, &words, record)?;
            let mut labels = list(&of_labels, &labels, record)?;
            if words.len() != labels.len() {
                return Err(Error::input(format!(
                    "{} words, {} labels",
                    words.len(),
                    labels.len()
                ))
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
            Ok(labels)
        }))
    }

    fn identity(question: &Vec<String>) -> String {
        question.join(" ")
    }

    fn new(section: &Settings, answers: &[&[String]]) -> Result<Self> {
        let found = answers.iter().copied().flatten();
        Ok(Self { labels: Labels::collect(&section.labels, found)? })
    }

    fn of_model(model: &Model) -> Option<Self> {
        let count = model.head().labels();
        let fits = count > 0 && model.head() == Head::token(count);
        fits.then(|| Self { labels: Labels::of_model(model) })
    }

    fn head(&self) -> (Head, Vec<String>) {
        let names = self.labels.names();
        (Head::token(names.len()), names.to_vec())
    }

    fn answer(&self, said: &[String], place: &str) -> Result<Vec<usize>> {
        said.iter().map(|label| self.labels.number(label, place)).collect()
    }

    fn rows(&self, kit: &Kit, words: &Vec<String>) -> Result<Vec<Piece>> {
        encoding::words(&kit.tokenizer, words, kit.limit, WordAnchor::of(kit.causal))
    }

    fn tokens(row: &Piece) -> usize {
        row.tokens.ids.len()
    }

    fn targets(row: &Piece) -> usize {
        row.words.len()
    }

    fn loss(&self, forward: Forward<'_>, batch: &[Vec<Item<'_, Self>>], total: f64) -> Var {
        let Forward { model, graph, dropout } = forward;
        let items: Vec<&Item<'_, Self>> = batch.iter().flatten().collect();
        let pieces: Vec<&Piece> = items.iter().map(|item| item.row).collect();
        let rows: Vec<&Encoded> = pieces.iter().map(|piece| &piece.tokens).collect();
        let padded = padded(model, &rows);
        let (hidden, mut pass) = hidden(model, graph, &padded, dropout);
        let picked = model.rows(&hidden, places(&pieces, &padded));
        let of = |item: &&Item<'_, Self>| {
            item.row.words.iter().map(|word| item.answer[word.0] as i32).collect::<Vec<_>>()
        };
        let labels: Vec<i32> = items.iter().flat_map(of).collect();
        let weight = |item: &&Item<'_, Self>| {
            std::iter::repeat_n((item.weight / total) as f32, item.row.words.len())
        };
        let weights: Vec<f32> = items.iter().flat_map(weight).collect();
        let labels = Ids::new(model.device(), labels, [weights.len()]);
        model.dropped_loss(graph, 0, &picked, &labels, &weights, &mut |x| pass.drop(x)).0
    }

    fn predict(
        &self,
        model: &Model,
        _: &Kit,
        asked: &[(&Vec<String>, &[Piece])],
    ) -> Result<Vec<Vec<Tagged>>> {
        let none = self.labels.names().iter().position(|l| l == "O").unwrap_or(0);
        let pieces: Vec<&Piece> = asked.iter().flat_map(|(_, pieces)| pieces.iter()).collect();
        let mut scores = word_scores(model, &pieces).into_iter();
        let tag = |(words, pieces): &(&Vec<String>, &[Piece])| {
            let mut tags = vec![Tagged { label: none, scores: None }; words.len()];
            for (piece, scores) in pieces.iter().zip(scores.by_ref()) {
                for (&(word, _), scores) in piece.words.iter().zip(scores) {
                    tags[word] = Tagged { label: best(&scores), scores: Some(scores) };
                }
            }
            tags
        };
        Ok(asked.iter().map(tag).collect())
    }

    fn loss_of(&self, right: &Vec<usize>, said: &Vec<Tagged>) -> (f64, f64) {
        let scored = right.iter().zip(said).filter_map(|(r, s)| Some((r, s.scores.as_ref()?)));
        scored.fold((0.0, 0.0), |(nats, n), (&right, scores)| {
            (nats + negative_log_likelihood(scores, right), n + 1.0)
        })
    }

    /// Those of entities first, where the labels mark some.
    fn score(&self, right: &[&Vec<usize>], said: &[Vec<Tagged>]) -> Vec<(&'static Figure, f64)> {
        let confusion = self.confusion(right, said);
        let mut all = vec![(&ACCURACY, confusion.accuracy()), (&MACRO_F1, confusion.macro_f1())];
        if self.labels.spans() {
            let f = self.entities(right, said).all();
            let entities = [
                (&ENTITY_F1, f.f1()),
                (&ENTITY_PRECISION, f.precision()),
                (&ENTITY_RECALL, f.recall()),
            ];
            all.splice(0..0, entities);
        }
        all
    }

    fn baselines(&self, learned: &[Example<Self>], held: &[&Example<Self>]) -> Vec<Baseline<Self>> {
        let mut counts = WordCounts::new(self.labels.names().len());
        learned.iter().for_each(|e| counts.add(&e.question, &e.answer));
        let said = |labels: &dyn Fn(&String) -> usize| -> Vec<Vec<Tagged>> {
            let tag = |word: &String| Tagged { label: labels(word), scores: None };
            held.iter().map(|e| e.question.iter().map(tag).collect()).collect()
        };
        vec![
            ("commonest label of the word", said(&|word| counts.of(word))),
            ("majority", said(&|_| counts.commonest)),
        ]
    }

    fn counts(right: &[&Vec<usize>]) -> Vec<(&'static str, u64)> {
        let words = right.iter().map(|labels| labels.len() as u64).sum();
        vec![("words", words), (Self::UNIT, right.len() as u64)]
    }

    fn details(&self, right: &[&Vec<usize>], said: &[Vec<Tagged>]) -> FinetuneSummary {
        let mut details = details::of_labels(&self.labels, &self.confusion(right, said));
        if self.labels.spans() {
            let kinds = self.entities(right, said).kinds;
            details.per_entity = Some(kinds.iter().map(per_entity).collect());
        }
        details
    }

    fn show(&self, words: &Vec<String>, said: &Vec<Tagged>) -> Shown {
        let names = self.labels.names();
        let both = || words.iter().zip(said);
        let probability = |tag: &Tagged| {
            let scores = tag.scores.as_ref()?;
            Some((-negative_log_likelihood(scores, tag.label)).exp())
        };
        let line = both().map(|(word, tag)| format!("{word}/{}", names[tag.label]));
        let line = line.collect::<Vec<_>>().join(" ");
        let one = |(word, tag): (&String, &Tagged)| json!({ "word": word, "label": names[tag.label], "probability": probability(tag) });
        let words: Vec<Value> = both().map(one).collect();
        let json = Map::from_iter([("words".to_owned(), words.into())]);
        Shown { short: line.clone(), line, json, ..Shown::default() }
    }
}

impl TokenClassification {
    /// Word by word.
    fn confusion(&self, right: &[&Vec<usize>], said: &[Vec<Tagged>]) -> Confusion {
        let right = right.iter().copied().flatten().copied();
        let said = said.iter().flatten().map(|tag| tag.label);
        Confusion::new(self.labels.names().len(), right.zip(said))
    }

    /// Entities, where the labels mark some.
    fn entities(&self, right: &[&Vec<usize>], said: &[Vec<Tagged>]) -> Entities {
        let names = self.labels.names();
        let mut entities = Entities::default();
        for (right, said) in right.iter().zip(said) {
            let right: Vec<&str> = right.iter().map(|&l| names[l].as_str()).collect();
            let said: Vec<&str> = said.iter().map(|tag| names[tag.label].as_str()).collect();
            entities.add(&right, &said);
        }
        entities
    }
}

fn per_entity((kind, f): (&String, &EntityFigures)) -> LabelRow {
    LabelRow {
        label: kind.clone(),
        precision: Some(f.precision()),
        recall: Some(f.recall()),
        f1: Some(f.f1()),
        support: f.support,
        predicted: f.predicted,
    }
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
    fn of(&self, word: &str) -> usize {
        match self.words.get(word) {
            None => self.commonest,
            Some(counts) => {
                counts.iter().rev().max_by_key(|(_, n)| **n).map_or(self.commonest, |(l, _)| *l)
            }
        }
    }
}
