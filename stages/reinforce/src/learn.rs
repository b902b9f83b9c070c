//! Updates from an iteration's episodes: epochs of minibatches, each update in parts that fit into memory.

use athanor_data::Shuffle;
use athanor_models::Model;
use athanor_store::{
    Result,
    figures::{GRAD_NORM, LEARNING_RATE},
};
use athanor_tensor::{GradSet, Graph, Tensor, Var};
use athanor_training::{Figures, Trainer};

use crate::{
    advantages::Advantages,
    algorithms::{Minibatch, Online, PolicyLoss, Rollouts, UpdateSize, ValueTargets},
    episode::Episode,
    rollout::{Batch, token_log_probs},
    section::ReinforceSection,
};

/// Epochs of minibatches in a shuffled order. Gives the means of the figures over the updates.
pub(crate) fn learn(
    trainer: &mut Trainer<'_>,
    section: &ReinforceSection,
    algorithm: &dyn Online,
    rollouts: &Rollouts,
    advantages: &Advantages,
) -> Result<Figures> {
    let (micro, accumulate) = (section.train.batch_size, section.train.accumulate);
    let seed = trainer.rng("minibatches").at(trainer.step()).below(0, u64::MAX);
    let learner = Learner { section, algorithm, rollouts, advantages };
    let mut sums = Figures::new();
    let (mut updates, mut learning_rate) = (0.0, 0.0);
    let mut add = |name: &'static str, value: f64| match sums.iter_mut().find(|(n, _)| *n == name) {
        Some((_, sum)) => *sum += value,
        None => sums.push((name, value)),
    };
    let episodes = &rollouts.episodes;
    for epoch in 0..algorithm.needs().epochs {
        let order = Shuffle::new(episodes.len(), seed, epoch as u64);
        for minibatch in order.as_slice().chunks(micro * accumulate) {
            let tokens = minibatch.iter().map(|&i| episodes[i].learned_count()).sum();
            let update = UpdateSize { tokens, episodes: minibatch.len() };
            let mut grads = GradSet::new();
            let mut loss = 0.0;
            for rows in minibatch.chunks(micro) {
                let graph = section.train.graph(&trainer.model.params);
                let (own, figures) = learner.loss(&trainer.model, graph, rows, update, &mut grads);
                loss += own;
                figures.into_iter().for_each(|(name, value)| add(name, value));
                let passed: usize = rows.iter().map(|&i| episodes[i].tokens.len()).sum();
                let flops =
                    trainer.model.flops_per_token(passed / rows.len().max(1)) * passed as f64;
                trainer.count(passed as u64, flops);
            }
            let update = trainer.update(&mut grads, &mut [loss])?;
            updates += 1.0;
            learning_rate = update.learning_rate;
            add(GRAD_NORM.name, update.grad_norm);
        }
    }
    sums.iter_mut().for_each(|(_, sum)| *sum /= f64::max(updates, 1.0));
    sums.push((LEARNING_RATE.name, learning_rate));
    Ok(sums)
}

/// What an iteration's updates have in common.
pub(crate) struct Learner<'a> {
    pub section: &'a ReinforceSection,
    pub algorithm: &'a dyn Online,
    pub rollouts: &'a Rollouts,
    pub advantages: &'a Advantages,
}

impl Learner<'_> {
    /// The loss of the episodes at `rows`, a part of an update, and its figures; adds its
    /// gradients.
    pub fn loss(
        &self,
        model: &Model,
        graph: Graph<'_>,
        rows: &[usize],
        update: UpdateSize,
        grads: &mut GradSet,
    ) -> (f64, Figures) {
        let Self { rollouts, advantages, .. } = self;
        let needs = self.algorithm.needs();
        let episodes: Vec<&Episode> = rows.iter().map(|&i| &rollouts.episodes[i]).collect();
        let batch = Batch::new(model, &episodes);
        let gather = |from: &[Vec<f32>]| {
            let flat: Vec<f32> = rows.iter().flat_map(|&i| from[i].iter().copied()).collect();
            Var::constant(Tensor::from_slice(model.device(), &flat, [flat.len()]))
        };
        let minibatch = Minibatch {
            old_log_probs: gather(&rollouts.policy.log_probs),
            reference_log_probs: needs.reference.then(|| gather(&rollouts.reference.log_probs)),
            advantages: gather(&advantages.advantages),
            values: needs.values.then(|| ValueTargets {
                old: gather(&rollouts.policy.values),
                returns: gather(&advantages.returns),
            }),
            lengths: episodes.iter().map(|e| e.learned_count()).collect(),
            update,
        };
        let temperature = self.section.temperature;
        let now = token_log_probs(model, &graph, &batch, temperature, needs.values);
        let PolicyLoss { loss, figures } = self.algorithm.loss(&now, &minibatch);
        let value = f64::from(loss.value().item());
        graph.backward(&loss, grads);
        (value, figures)
    }
}
