//! Rewards of texts, without gradient.

use std::collections::HashMap;

use athanor_data::{Split, preferences::Comparison};
use athanor_models::{Model, Pass};
use athanor_tensor::Graph;
use athanor_training::Packed;

use crate::texts::{Text, Texts};

/// Texts packed into rows, and the place where each ends.
pub(crate) fn packed(tokens: &[&[u32]], model: &Model) -> (Packed, Vec<i32>) {
    let packed = Packed::new(tokens, model.sizes().context, model.device());
    let last = packed.starts.iter().zip(tokens).map(|(s, t)| (s + t.len() - 1) as i32).collect();
    (packed, last)
}

/// Rewards of texts, without gradient.
fn score(model: &Model, texts: &[&Text]) -> Vec<f32> {
    texts
        .chunks(64)
        .flat_map(|chunk| {
            let tokens: Vec<&[u32]> = chunk.iter().map(|t| &t.tokens[..]).collect();
            let (packed, last) = packed(&tokens, model);
            let graph = Graph::inference(&model.params);
            let hidden = model.hidden(&mut Pass::new(&graph, &packed.input));
            model.logits(&graph, &model.rows(&hidden, last)).value().to_vec()
        })
        .collect()
}

/// Rewards of some texts.
pub(crate) struct Scores(HashMap<usize, f32>);

impl Scores {
    pub fn of(model: &Model, texts: &Texts, places: Vec<usize>) -> Self {
        let held: Vec<&Text> = places.iter().map(|&i| &texts.all[i]).collect();
        let rewards = score(model, &held);
        Self(places.into_iter().zip(rewards).collect())
    }

    pub fn of_heldout(model: &Model, texts: &Texts) -> Self {
        Self::of(model, texts, texts.indices(Split::Heldout).into_values().flatten().collect())
    }

    pub fn get(&self, text: usize) -> f64 {
        self.0.get(&text).copied().map_or(0.0, f64::from)
    }

    pub fn margin(&self, pair: &Comparison) -> f64 {
        self.get(pair.better) - self.get(pair.worse)
    }
}
