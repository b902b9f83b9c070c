//! What a fine-tuned model says of texts.

use std::path::Path;

use athanor_models::{Head, Model, Padded, Pass, Row, heads};
use athanor_store::{Error, Result};
use athanor_tensor::{Device, Graph, Var, host};
use athanor_text::Tokenizer;
use athanor_training::load_tokenizer;

use crate::{
    encoding::{self, Encoded, Piece, Stands},
    labels::Labels,
};

/// Tokens of a pass, padding included.
const BATCH_TOKENS: usize = 4096;

/// Something for each example, in their order; examples of like length share a pass. `tokens` is the
/// length of an example, `pass` gives as many results as it is given examples.
pub(crate) fn by_length<E, T>(
    examples: &[&E],
    tokens: impl Fn(&E) -> usize,
    mut pass: impl FnMut(&[&E]) -> Vec<T>,
) -> Vec<T> {
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by_key(|&i| tokens(examples[i]));
    let mut results: Vec<Option<T>> = examples.iter().map(|_| None).collect();
    let mut rest = &order[..];
    while !rest.is_empty() {
        // Sorted, so the last of a batch is its longest.
        let fits = |n: &usize| (n + 1) * tokens(examples[rest[*n]]) <= BATCH_TOKENS;
        let n = 1 + (1..rest.len()).take_while(fits).count();
        let (batch, others) = rest.split_at(n);
        let picked: Vec<&E> = batch.iter().map(|&i| examples[i]).collect();
        for (&i, result) in batch.iter().zip(pass(&picked)) {
            results[i] = Some(result);
        }
        rest = others;
    }
    results.into_iter().flatten().collect()
}

/// Hidden states of rows.
pub(crate) fn hidden(model: &Model, graph: &Graph<'_>, rows: &[Row<'_>]) -> (Padded, Var) {
    let padded = model.padded(rows);
    let hidden = model.hidden(&mut Pass::new(graph, &padded.input).skip_padding());
    (padded, hidden)
}

/// Scores [labels] of each text.
pub(crate) fn text_scores(model: &Model, texts: &[&Encoded]) -> Vec<Vec<f32>> {
    by_length(
        texts,
        |t| t.ids.len(),
        |batch| {
            let rows: Vec<Row<'_>> = batch.iter().map(|t| t.row()).collect();
            let graph = Graph::inference(&model.params);
            let (padded, hidden) = hidden(model, &graph, &rows);
            let picked = model.pick(0, &hidden, &padded.ids);
            let scores = model.logits(&graph, &picked).value().to_vec();
            scores.chunks_exact(model.head().labels()).map(<[f32]>::to_vec).collect()
        },
    )
}

/// Scores [words][labels] of the words of a piece that have a token.
pub(crate) type WordScores = Vec<Vec<f32>>;

/// Scores of the words of each piece.
pub(crate) fn word_scores(model: &Model, pieces: &[&Piece]) -> Vec<WordScores> {
    by_length(
        pieces,
        |p| p.tokens.ids.len(),
        |batch| {
            let rows: Vec<Row<'_>> = batch.iter().map(|p| p.tokens.row()).collect();
            let graph = Graph::inference(&model.params);
            let (padded, hidden) = hidden(model, &graph, &rows);
            let places: Vec<i32> = places(batch, &padded).into_iter().map(|p| p as i32).collect();
            if places.is_empty() {
                return batch.iter().map(|_| Vec::new()).collect();
            }
            let scores = model.logits(&graph, &model.rows(&hidden, places)).value().to_vec();
            let mut scores = scores.chunks_exact(model.head().labels()).map(<[f32]>::to_vec);
            batch.iter().map(|p| scores.by_ref().take(p.words.len()).collect()).collect()
        },
    )
}

/// Where among all tokens of a batch the first token of each word stands.
pub(crate) fn places(batch: &[&Piece], padded: &Padded) -> Vec<usize> {
    let of = |(piece, &start): (&&Piece, &usize)| {
        piece.words.iter().map(|&(_, place)| start + place).collect::<Vec<_>>()
    };
    batch.iter().zip(&padded.starts).flat_map(of).collect()
}

/// The greatest score's place; the first of equals, as in numpy.
pub(crate) fn best(scores: &[f32]) -> usize {
    host::argmax(scores)
}

/// −ln of a label's probability.
pub(crate) fn surprise(scores: &[f32], label: usize) -> f64 {
    let most = scores.iter().fold(f32::NEG_INFINITY, |m, &s| m.max(s));
    let sum: f64 = scores.iter().map(|&s| f64::from(s - most).exp()).sum();
    sum.ln() - f64::from(scores[label] - most)
}

/// Probabilities of scores.
pub(crate) fn softmax(scores: &[f32]) -> Vec<f64> {
    (0..scores.len()).map(|i| (-surprise(scores, i)).exp()).collect()
}

/// A word's label.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    /// The label's number.
    pub label: usize,
    /// Its probability; none for a word without tokens, which gets `O`, or the first label.
    pub probability: Option<f64>,
}

/// The labels of a sentence of `count` words, from its pieces and their scores.
pub(crate) fn tags(labels: &Labels, count: usize, pieces: &[(&Piece, Vec<Vec<f32>>)]) -> Vec<Tag> {
    let none = labels.names().iter().position(|l| l == "O").unwrap_or(0);
    let mut tags = vec![Tag { label: none, probability: None }; count];
    for (piece, scores) in pieces {
        for (&(word, _), scores) in piece.words.iter().zip(scores) {
            let label = best(scores);
            let probability = Some((-surprise(scores, label)).exp());
            tags[word] = Tag { label, probability };
        }
    }
    tags
}

/// A model folder opened to label texts or words.
pub struct Predictor {
    model: Model,
    tokenizer: Tokenizer,
    labels: Labels,
    limit: usize,
}

impl Predictor {
    /// Opens a folder whose head labels texts or words.
    ///
    /// # Errors
    /// Those of [`Model::load`]; input, for a model with another head.
    pub fn open(folder: &Path) -> Result<Self> {
        let model = Model::load(folder, Device::Cpu)?;
        let count = model.head().labels();
        if count == 0 {
            return Err(Error::input(format!("a {:?} head has no labels", model.head()))
                .at(folder.display())
                .hint(
                    "give a model that was fine-tuned: its config.json names …ForSequenceClassification \
                     or …ForTokenClassification",
                ));
        }
        let tokenizer = load_tokenizer(folder, &model)?;
        let names = heads::names(&model.config);
        let names = names.unwrap_or_else(|| (0..count).map(|i| format!("LABEL_{i}")).collect());
        let limit = encoding::limit(0, &model, &tokenizer);
        Ok(Self { model, tokenizer, labels: Labels::new(names), limit })
    }

    /// Whether it labels words, not texts.
    pub fn labels_words(&self) -> bool {
        self.model.head() == Head::token(self.labels.names().len())
    }

    /// Whether it gives a text a number, not a label.
    pub fn gives_numbers(&self) -> bool {
        self.model.head() == Head::SCALAR
    }

    /// The labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Probability of each label, for each text or pair.
    ///
    /// # Errors
    /// Input, for a text without tokens.
    pub fn texts(&self, texts: &[(String, Option<String>)]) -> Result<Vec<Vec<f64>>> {
        Ok(self.scores(texts)?.iter().map(|s| softmax(s)).collect())
    }

    /// A number for each text or pair, of a model that gives numbers: its first score.
    ///
    /// # Errors
    /// As [`texts`](Self::texts).
    pub fn numbers(&self, texts: &[(String, Option<String>)]) -> Result<Vec<f64>> {
        Ok(self.scores(texts)?.iter().map(|s| f64::from(s[0])).collect())
    }

    fn scores(&self, texts: &[(String, Option<String>)]) -> Result<Vec<Vec<f32>>> {
        let encode = |(text, pair): &(String, Option<String>)| {
            encoding::texts(&self.tokenizer, text, pair.as_deref(), self.limit)
        };
        let rows: Vec<Encoded> = texts.iter().map(encode).collect::<Result<_>>()?;
        let rows: Vec<&Encoded> = rows.iter().collect();
        Ok(text_scores(&self.model, &rows))
    }

    /// A label for each word of each sentence.
    ///
    /// # Errors
    /// Input, for a sentence without tokens.
    pub fn words(&self, sentences: &[Vec<String>]) -> Result<Vec<Vec<Tag>>> {
        let stands = Stands::of(&self.model);
        let encode =
            |words: &Vec<String>| encoding::words(&self.tokenizer, words, self.limit, stands);
        let pieces: Vec<Vec<Piece>> = sentences.iter().map(encode).collect::<Result<_>>()?;
        let counts: Vec<usize> = sentences.iter().map(Vec::len).collect();
        Ok(sentence_tags(&self.model, &self.labels, &pieces, &counts).0)
    }
}

/// The labels of sentences in pieces, and the scores of each piece that they come from.
pub(crate) fn sentence_tags(
    model: &Model,
    labels: &Labels,
    sentences: &[Vec<Piece>],
    counts: &[usize],
) -> (Vec<Vec<Tag>>, Vec<Vec<WordScores>>) {
    let all: Vec<&Piece> = sentences.iter().flatten().collect();
    let mut scores = word_scores(model, &all).into_iter();
    let scores: Vec<Vec<_>> =
        sentences.iter().map(|s| scores.by_ref().take(s.len()).collect()).collect();
    let tagged = sentences.iter().zip(&scores).zip(counts).map(|((pieces, scores), &count)| {
        let both: Vec<_> = pieces.iter().zip(scores.iter().cloned()).collect();
        tags(labels, count, &both)
    });
    (tagged.collect(), scores)
}
