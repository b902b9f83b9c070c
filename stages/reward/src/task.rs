//! Learning to score: every pair within a group of texts is a comparison, as in Ouyang et al. 2022,
//! section 3.5 (all comparisons of one prompt are one batch element).

use std::collections::BTreeSet;

use athanor_data::{Cursor, Split, preferences::Comparison};
use athanor_models::{Model, Pass};
use athanor_store::{
    Result,
    figures::{ACCURACY, LOSS, Logged},
};
use athanor_tensor::{
    Graph, Ids, Rng, Tensor, Var,
    ops::{self, Activation, Weights},
};
use athanor_training::{Figures, Forward, Loss, MicroBatch, Task};
use serde_json::{Value, json};

use crate::{
    figures::accuracy,
    losses::bradley_terry,
    scores::{Scores, packed},
    section::RewardSection,
    texts::Texts,
};

/// Texts side by side, and pairs of them.
pub(crate) struct Batch {
    /// The texts' tokens, some of them hidden.
    texts: Vec<Vec<u32>>,
    left: Vec<i32>,
    right: Vec<i32>,
    /// Share of raters that prefer the left text, for each pair.
    targets: Vec<f32>,
}

impl Batch {
    /// The first text's reward minus the second's, for each pair: [pairs, 1].
    fn differences(&self, rewards: &Var) -> Var {
        let device = rewards.value().device();
        let pick = |places: &[i32]| {
            let count = places.len();
            ops::embedding(rewards, &Ids::new(device, places.to_vec(), [count]))
        };
        ops::sub(&pick(&self.left), &pick(&self.right))
    }
}

/// What the stage writes into metrics.jsonl besides what every supervised stage does.
pub const LOGGED: Logged = Logged { train: &[&ACCURACY], eval: &[&ACCURACY], eval_also: &[] };

pub(crate) struct Comparisons<'a> {
    pub texts: &'a Texts,
    pub pairs: &'a [Comparison],
    pub section: &'a RewardSection,
    /// The token that stands for a hidden one.
    pub hidden: u32,
    pub seed: u64,
    /// Groups of one epoch.
    epoch: Option<(u64, Vec<Vec<usize>>)>,
    per_epoch: usize,
}

impl<'a> Comparisons<'a> {
    pub fn new(
        texts: &'a Texts,
        pairs: &'a [Comparison],
        section: &'a RewardSection,
        hidden: u32,
        seed: u64,
    ) -> Self {
        let mut new = Self { texts, pairs, section, hidden, seed, epoch: None, per_epoch: 1 };
        new.per_epoch = new.groups_of(0).len().max(1);
        new
    }

    /// An epoch's comparison groups: the texts of each group shuffled and cut, then all shuffled.
    fn groups_of(&self, epoch: u64) -> Vec<Vec<usize>> {
        let size = self.section.texts_per_group;
        let mut groups = Vec::new();
        for (number, members) in self.texts.indices(Split::Train) {
            let seed = athanor_tensor::splitmix64(self.seed ^ number as u64);
            let order = athanor_data::Shuffle::new(members.len(), seed, epoch);
            let shuffled: Vec<usize> = order.as_slice().iter().map(|&i| members[i]).collect();
            groups.extend(shuffled.chunks(size).filter(|c| c.len() > 1).map(<[usize]>::to_vec));
        }
        let order = athanor_data::Shuffle::new(groups.len(), self.seed, epoch);
        order.as_slice().iter().map(|&i| std::mem::take(&mut groups[i])).collect()
    }

    fn group(&mut self, index: u64) -> Vec<usize> {
        let (epoch, place) = (index / self.per_epoch as u64, index % self.per_epoch as u64);
        if self.epoch.as_ref().is_none_or(|(e, _)| *e != epoch) {
            self.epoch = Some((epoch, self.groups_of(epoch)));
        }
        self.epoch.as_ref().and_then(|(_, g)| g.get(place as usize)).cloned().unwrap_or_default()
    }

    fn batch(&self, groups: &[Vec<usize>], rng: Rng) -> Batch {
        let mut batch =
            Batch { texts: Vec::new(), left: Vec::new(), right: Vec::new(), targets: Vec::new() };
        for group in groups {
            let base = batch.texts.len() as i32;
            for i in 0..group.len() {
                for j in i + 1..group.len() {
                    batch.left.push(base + i as i32);
                    batch.right.push(base + j as i32);
                    let p = self.texts.preference(group[i], group[j]);
                    batch.targets.push(p as f32);
                }
            }
            batch.texts.extend(group.iter().map(|&i| self.tokens(i, rng.at(i as u64))));
        }
        batch
    }

    /// A text's tokens, each but the last hidden with the recipe's probability. The last is where
    /// the reward is read.
    fn tokens(&self, text: usize, rng: Rng) -> Vec<u32> {
        let mut tokens = self.texts.all[text].tokens.clone();
        let share = self.section.token_dropout as f32;
        let last = tokens.len() - 1;
        for (t, token) in tokens[..last].iter_mut().enumerate() {
            if share > 0.0 && rng.uniform(t as u64) < share {
                *token = self.hidden;
            }
        }
        tokens
    }
}

impl Task for Comparisons<'_> {
    type Batch = Batch;

    fn batches(&mut self, step: u64) -> Result<Vec<MicroBatch<Batch>>> {
        let t = &self.section.train;
        let (size, per_step) = (t.batch_size, (t.batch_size * t.accumulate) as u64);
        let groups: Vec<Vec<usize>> =
            (step * per_step..(step + 1) * per_step).map(|i| self.group(i)).collect();
        let rng = Rng::new(self.seed).fork("hidden tokens").at(step);
        Ok(groups
            .chunks(size)
            .map(|g| {
                let batch = self.batch(g, rng);
                let tokens = batch.texts.iter().map(Vec::len).sum();
                MicroBatch { weight: batch.targets.len() as f64, batch, tokens }
            })
            .collect())
    }

    fn loss(&self, forward: Forward<'_>, batch: &Batch, total: f64) -> Result<Loss> {
        let Forward { model, graph, dropout } = forward;
        let texts: Vec<&[u32]> = batch.texts.iter().map(Vec::as_slice).collect();
        let (packed, last) = packed(&texts, model);
        let hidden = model.hidden(&mut Pass::new(graph, &packed.input).with_dropout(dropout));
        let rewards = model.logits(graph, &model.rows(&hidden, last));
        let count = batch.targets.len();
        let margin = batch.differences(&rewards);
        let mut loss =
            ops::scale(&bradley_terry::loss(&margin, &batch.targets), (1.0 / total) as f32);
        if self.section.every_token > 0.0 {
            let margin = batch.differences(&means(model, graph, &hidden, &texts, &packed.starts));
            let weight = self.section.every_token / total;
            loss = ops::add(
                &loss,
                &ops::scale(&bradley_terry::loss(&margin, &batch.targets), weight as f32),
            );
        }
        let right = margin
            .value()
            .to_vec()
            .iter()
            .zip(&batch.targets)
            .filter(|(m, p)| (**m > 0.0) == (**p > 0.5))
            .count();
        let share = count as f64 / total;
        if self.section.centre > 0.0 {
            let centre = ops::mean(&ops::square(&rewards));
            loss = ops::add(&loss, &ops::scale(&centre, (self.section.centre * share) as f32));
        }
        if self.section.language > 0.0 {
            let language = next_token_loss(model, graph, &hidden, &texts, &packed.starts);
            loss = ops::add(&loss, &ops::scale(&language, (self.section.language * share) as f32));
        }
        Ok(Loss { loss, figures: vec![(ACCURACY.name, right as f64 / total)] })
    }

    fn evaluate(&mut self, model: &Model) -> Result<Figures> {
        let pairs = &self.pairs[..self.pairs.len().min(self.section.train.evaluate.items)];
        let places: BTreeSet<usize> = pairs.iter().flat_map(|p| [p.better, p.worse]).collect();
        let scores = Scores::of(model, self.texts, places.into_iter().collect());
        let negative_log_likelihood = |p: &Comparison| bradley_terry::of_margin(scores.margin(p));
        let loss =
            pairs.iter().map(negative_log_likelihood).sum::<f64>() / pairs.len().max(1) as f64;
        Ok(vec![(LOSS.name, loss), (ACCURACY.name, accuracy(pairs, |p| scores.margin(p) > 0.0))])
    }

    fn cursor(&self, step: u64) -> Value {
        let t = &self.section.train;
        let first = step * (t.batch_size * t.accumulate) as u64;
        let items = self.per_epoch as u64;
        json!(Cursor { epoch: first / items, position: first % items })
    }
}

/// Where the texts' tokens stand, without the last `skip` of each.
fn places<'a>(
    texts: &'a [&[u32]],
    starts: &'a [usize],
    skip: usize,
) -> impl Iterator<Item = i32> + 'a {
    let ends = texts.iter().map(move |t| t.len().saturating_sub(skip));
    starts.iter().zip(ends).flat_map(|(&s, n)| (s..s + n).map(|p| p as i32))
}

/// Mean of the scores at each text's tokens: [texts, 1].
fn means(
    model: &Model,
    graph: &Graph<'_>,
    hidden: &Var,
    texts: &[&[u32]],
    starts: &[usize],
) -> Var {
    let places: Vec<i32> = places(texts, starts, 0).collect();
    let all = places.len();
    let scores = model.logits(graph, &model.rows(hidden, places));
    let mut shares = vec![0.0f32; texts.len() * all];
    let mut first = 0;
    for (row, text) in texts.iter().enumerate() {
        shares[row * all + first..][..text.len()].fill(1.0 / text.len() as f32);
        first += text.len();
    }
    let shares = Var::constant(Tensor::from_slice(model.device(), &shares, [texts.len(), all]));
    ops::linear(&shares, &scores, None, Weights::InOut, Activation::None)
}

/// Mean next-token loss over the texts of a batch.
fn next_token_loss(
    model: &Model,
    graph: &Graph<'_>,
    hidden: &Var,
    texts: &[&[u32]],
    starts: &[usize],
) -> Var {
    let places: Vec<i32> = places(texts, starts, 1).collect();
    let targets: Vec<i32> =
        texts.iter().flat_map(|t| t.iter().skip(1)).map(|&t| t as i32).collect();
    let count = targets.len();
    let targets = Ids::new(model.device(), targets, [count]);
    let weights = vec![1.0 / count.max(1) as f32; count];
    ops::linear_cross_entropy(&model.rows(hidden, places), &model.output(graph), &targets, &weights)
        .0
}
