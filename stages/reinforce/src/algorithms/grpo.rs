//! Group relative policy optimisation: Shao et al. 2024, "DeepSeekMath", section 4.1. Each request is answered
//! several times; an answer's advantage is its score against those of its group, so no values are needed.
//!
//! - advantage (eq. 3, outcome supervision): (score - mean of the group) / (deviation of the group + 1e-4), the
//!   deviation being that of a sample, as in TRL; the same for all tokens of the answer;
//! - the clipped surrogate of PPO, with an upper bound of its own (`clip_high`: Yu et al. 2025, "DAPO");
//! - the penalty for leaving the reference stands in the loss, estimated by k3 (eq. 4): r - ln r - 1, r = π_ref / π.
//!
//! `loss_type` says how tokens are averaged: `grpo` first over each answer, then over answers (eq. 3); `dapo` over
//! all tokens of an update.
//!
//! Metrics: policy_loss, clip_fraction, reference_kl (k3, nats a token; where `beta` is above 0), and
//! silent_groups: the share of groups whose answers all have one score, from which nothing is learned.

use athanor_store::{
    Check, OwnKeys, Problem,
    figures::{CLIP_FRACTION, Logged, POLICY_LOSS},
    section,
};
use athanor_tensor::{Tensor, Var, ops};
use athanor_training::Figures;

use super::{Algorithm, Method, Minibatch, Needs, Online, PolicyLoss, Rollouts};
use crate::{advantages::Advantages, figures::mean_std, rollout::TokenLogProbs};

/// Added to a group's deviation, as in TRL.
const EPSILON: f64 = 1e-4;

section! {
    /// Group relative policy optimisation. Defaults are TRL's.
    pub struct GrpoSection {
        /// Answers to each request.
        group: usize = 8,
        /// Passes over the answers of an iteration.
        epochs: usize = 1,
        /// How far the probability ratio may fall before it stops counting.
        clip: f64 = 0.2,
        /// How far it may rise; not set: as far.
        clip_high: Option<f64> = None,
        /// Coefficient of the penalty for leaving the reference; 0 needs no reference.
        beta: f64 = 0.0,
        /// Divide advantages by the deviation of their group.
        scale: bool = true,
        /// How tokens are averaged: dapo (over all tokens of an update), grpo (over each answer, then over answers).
        loss_type: String = "dapo".into(),
    }
}

impl Check for GrpoSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(self.group >= 2, "group", "must be at least 2")?;
        Problem::unless(self.epochs > 0, "epochs", "must be at least 1")?;
        Problem::unless_one_of("loss_type", &self.loss_type, &["dapo", "grpo"])?;
        for (key, value) in
            [("clip", self.clip), ("clip_high", self.clip_high.unwrap_or(0.0)), ("beta", self.beta)]
        {
            Problem::unless(value >= 0.0 && value.is_finite(), key, "must be 0 or more")?;
        }
        Ok(())
    }
}

athanor_store::figures! {
    /// Share of groups in which all answers have the same reward, so that no advantage is left.
    SILENT_GROUPS = "silent_groups", "silent groups", "share", Lower;
    /// The penalty's estimate of the divergence from the reference (Schulman's k3), if `beta` is above 0.
    REFERENCE_KL = "reference_kl", "KL of a token", "nats per token", Neither;
}

/// The algorithm's line in the registry.
pub(super) const ALGORITHM: Algorithm = Algorithm {
    name: "grpo",
    about: "group relative policy optimisation, without values",
    keys: OwnKeys::of::<GrpoSection>(),
    logged: Logged {
        train: &[&POLICY_LOSS, &CLIP_FRACTION, &SILENT_GROUPS, &REFERENCE_KL],
        eval: &[],
        eval_also: &[],
    },
    open: |choice| Method::Online(Box::new(Grpo { keys: choice.own() })),
};

struct Grpo {
    keys: GrpoSection,
}

impl Online for Grpo {
    fn needs(&self) -> Needs {
        let GrpoSection { group, epochs, beta, .. } = self.keys;
        Needs { values: false, reference: beta > 0.0, group, epochs }
    }

    fn advantages(&self, r: &Rollouts) -> (Advantages, Figures) {
        let (mut advantages, mut silent, mut groups) = (Vec::new(), 0.0, 0.0);
        let mut from = 0;
        for group in r.episodes.chunk_by(|a, b| a.group == b.group) {
            let scores = r.scores[from..from + group.len()].iter().zip(group);
            let scores: Vec<f64> = scores.map(|(s, e)| s + e.environment_reward()).collect();
            from += group.len();
            let (mean, deviation) = mean_std(&scores);
            groups += 1.0;
            silent += if deviation == 0.0 { 1.0 } else { 0.0 };
            let scale = if self.keys.scale { 1.0 / (deviation + EPSILON) } else { 1.0 };
            advantages.extend(scores.iter().zip(group).map(|(score, episode)| {
                vec![((score - mean) * scale) as f32; episode.learned_count()]
            }));
        }
        let all = Advantages { advantages, returns: Vec::new() };
        (all, vec![(SILENT_GROUPS.name, silent / f64::max(groups, 1.0))])
    }

    fn loss(&self, now: &TokenLogProbs, batch: &Minibatch) -> PolicyLoss {
        let keys = &self.keys;
        let weights: Vec<f32> = match keys.loss_type.as_str() {
            "grpo" => batch
                .lengths
                .iter()
                .flat_map(|&n| vec![1.0 / (n.max(1) * batch.update.episodes.max(1)) as f32; n])
                .collect(),
            _ => vec![1.0 / batch.update.tokens.max(1) as f32; batch.lengths.iter().sum()],
        };
        let device = now.log_probs.value().device();
        let weights = Var::constant(Tensor::from_slice(device, &weights, [weights.len()]));
        let sum = |x: &Var| ops::sum(&ops::mul(x, &weights));

        let (low, high) = (keys.clip as f32, keys.clip_high.unwrap_or(keys.clip) as f32);
        let ratio = ops::exp(&ops::sub(&now.log_probs, &batch.old_log_probs));
        let plain = ops::mul(&ratio, &batch.advantages);
        let clipped = ops::mul(&ops::clamp(&ratio, 1.0 - low, 1.0 + high), &batch.advantages);
        let policy_loss = ops::neg(&sum(&ops::minimum(&plain, &clipped)));

        let ratios = ratio.value().to_vec();
        let outside = ratios.iter().filter(|r| **r < 1.0 - low || **r > 1.0 + high).count();
        let mut figures = vec![
            (POLICY_LOSS.name, f64::from(policy_loss.value().item())),
            (CLIP_FRACTION.name, outside as f64 / batch.update.tokens.max(1) as f64),
        ];
        let Some(reference) = &batch.reference_log_probs else {
            return PolicyLoss { loss: policy_loss, figures };
        };
        let log_ratio = ops::sub(reference, &now.log_probs);
        let k3 = ops::add_scalar(&ops::sub(&ops::exp(&log_ratio), &log_ratio), -1.0);
        let penalty = sum(&k3);
        figures.push((REFERENCE_KL.name, f64::from(penalty.value().item())));
        let loss = ops::add(&policy_loss, &ops::scale(&penalty, keys.beta as f32));
        PolicyLoss { loss, figures }
    }
}

#[cfg(test)]
mod tests {
    use athanor_tensor::Tape;

    use super::*;
    use crate::algorithms::{
        UpdateSize,
        fixtures::{cases, close, constant, episodes, flat, gradients, list, measured, rows},
    };

    /// What float32 may differ from TRL's float64.
    const BOUND: f32 = 1e-6;

    #[test]
    fn advantages_loss_and_gradients_are_those_of_trl() {
        for case in cases("grpo") {
            let log_probs = rows(&case["log_probs"]);
            let lengths: Vec<usize> = log_probs.iter().map(Vec::len).collect();
            let group = case["group"].as_u64().unwrap() as usize;
            let grpo = Grpo {
                keys: GrpoSection {
                    group,
                    clip: case["clip"].as_f64().unwrap(),
                    clip_high: case["clip_high"].as_f64(),
                    beta: case["beta"].as_f64().unwrap(),
                    scale: case["scale_rewards"] == "group",
                    loss_type: "grpo".into(),
                    ..GrpoSection::default()
                },
            };
            let r = Rollouts {
                episodes: episodes(lengths.clone(), group),
                policy: measured(rows(&case["old_log_probs"]), Vec::new()),
                reference: measured(rows(&case["reference_log_probs"]), Vec::new()),
                scores: list(&case["rewards"]),
            };
            let (all, figures) = grpo.advantages(&r);
            let expected: Vec<f32> = list(&case["advantages"])
                .iter()
                .zip(&lengths)
                .flat_map(|(a, &n)| vec![*a as f32; n])
                .collect();
            close(&all.advantages.concat(), &expected, BOUND, "advantages");
            assert!(figures[0].1 > 0.0, "the first group has one score");

            let tape = Tape::new();
            let leaf = tape.leaf(flat(&log_probs));
            let now = TokenLogProbs { log_probs: leaf.clone(), entropy: Vec::new(), values: None };
            let batch = Minibatch {
                old_log_probs: constant(&rows(&case["old_log_probs"])),
                reference_log_probs: grpo
                    .needs()
                    .reference
                    .then(|| constant(&rows(&case["reference_log_probs"]))),
                advantages: constant(&all.advantages),
                values: None,
                update: UpdateSize { tokens: lengths.iter().sum(), episodes: lengths.len() },
                lengths,
            };
            let loss = grpo.loss(&now, &batch).loss;
            close(&[loss.value().item()], &[case["loss"].as_f64().unwrap() as f32], BOUND, "loss");
            let [grad, _] = gradients(&tape, &loss, [&leaf, &leaf]);
            close(&grad, &rows(&case["grad_log_probs"]).concat(), BOUND, "grad.log_probs");
        }
    }
}
