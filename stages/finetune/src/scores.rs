//! Scores of rows: passes over many of them, and what scores mean.

use athanor_models::{Dropout, Model, Padded, Pass, Row};
use athanor_tensor::{Graph, Var, host};

use crate::encoding::Encoded;

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

/// Hidden states [rows, time, hidden] of rows, and the pass that made them. `padded` comes from
/// [`Model::padded`].
pub(crate) fn hidden<'p>(
    model: &Model,
    graph: &'p Graph<'p>,
    padded: &'p Padded,
    dropout: Option<Dropout>,
) -> (Var, Pass<'p>) {
    let mut pass = Pass::new(graph, &padded.input).with_dropout(dropout).skip_padding();
    (model.hidden(&mut pass), pass)
}

/// The hidden states [rows, hidden] that the head reads of whole rows, and the pass's dropout.
pub(crate) fn picked<'p>(
    model: &Model,
    graph: &'p Graph<'p>,
    padded: &'p Padded,
    dropout: Option<Dropout>,
) -> (Var, Pass<'p>) {
    let (hidden, pass) = hidden(model, graph, padded, dropout);
    (model.pick(0, &hidden, &padded.ids), pass)
}

/// Rows of texts side by side.
pub(crate) fn padded(model: &Model, texts: &[&Encoded]) -> Padded {
    let rows: Vec<Row<'_>> = texts.iter().map(|t| t.row()).collect();
    model.padded(&rows)
}

/// Scores [labels] of each text.
pub(crate) fn text_scores(model: &Model, texts: &[&Encoded]) -> Vec<Vec<f32>> {
    by_length(
        texts,
        |t| t.ids.len(),
        |batch| {
            let graph = Graph::inference(&model.params);
            let padded = padded(model, batch);
            let (picked, _) = picked(model, &graph, &padded, None);
            let scores = model.logits(&graph, &picked).value().to_vec();
            scores.chunks_exact(scores.len() / batch.len()).map(<[f32]>::to_vec).collect()
        },
    )
}

/// The greatest score's place; the first of equals, as in numpy.
pub(crate) fn best(scores: &[f32]) -> usize {
    host::argmax(scores)
}

/// −ln of a label's probability.
pub(crate) fn negative_log_likelihood(scores: &[f32], label: usize) -> f64 {
    let most = scores.iter().fold(f32::NEG_INFINITY, |m, &s| m.max(s));
    let sum: f64 = scores.iter().map(|&s| f64::from(s - most).exp()).sum();
    sum.ln() - f64::from(scores[label] - most)
}

/// Probabilities of scores.
pub(crate) fn softmax(scores: &[f32]) -> Vec<f64> {
    (0..scores.len()).map(|i| (-negative_log_likelihood(scores, i)).exp()).collect()
}
