//! Scores of words.

use athanor_models::{Model, Padded};
use athanor_tensor::Graph;

use crate::{
    encoding::{Encoded, Piece},
    scores::{by_length, hidden, padded},
};

/// Scores [words][labels] of the words of each piece that have a token.
pub(super) fn word_scores(model: &Model, pieces: &[&Piece]) -> Vec<Vec<Vec<f32>>> {
    by_length(
        pieces,
        |p| p.tokens.ids.len(),
        |batch| {
            let rows: Vec<&Encoded> = batch.iter().map(|p| &p.tokens).collect();
            let graph = Graph::inference(&model.params);
            let padded = padded(model, &rows);
            let places = places(batch, &padded);
            if places.is_empty() {
                return batch.iter().map(|_| Vec::new()).collect();
            }
            let (hidden, _) = hidden(model, &graph, &padded, None);
            let scores = model.logits(&graph, &model.rows(&hidden, places)).value().to_vec();
            let mut scores = scores.chunks_exact(model.head().labels()).map(<[f32]>::to_vec);
            batch.iter().map(|p| scores.by_ref().take(p.words.len()).collect()).collect()
        },
    )
}

/// Where among all tokens of a batch the token of each word stands.
pub(super) fn places(batch: &[&Piece], padded: &Padded) -> Vec<i32> {
    let of = |(piece, &start): (&&Piece, &usize)| {
        piece.words.iter().map(|&(_, place)| (start + place) as i32).collect::<Vec<_>>()
    };
    batch.iter().zip(&padded.starts).flat_map(of).collect()
}
