//! The policy on held-out examples: reward, distance from the reference, variety.

use athanor_models::Model;
use athanor_store::{
    Result,
    figures::{DISTINCT2, FINISHED, KL, LENGTH, REWARD, REWARD_STD},
};
use athanor_training::Sample;

use crate::{
    environments::Part,
    figures::{distinct2, mean_std},
    rewards::Rewards,
    rollout::{Generator, episode_log_probs},
};

/// Episodes that are written at once.
pub(crate) const WRITE_TOGETHER: usize = 64;

/// Examples that are shown where the environment has no samples of its own.
pub(crate) const SHOWN: usize = 4;

/// What the policy is measured with.
pub(crate) struct Evaluator<'a> {
    pub generator: Generator<'a>,
    pub reference: &'a Model,
    pub rewards: Rewards,
    pub seed: u64,
    /// Held-out examples that it is measured on.
    pub heldout: usize,
}

/// Figures over held-out examples.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct PolicyFigures {
    pub reward: f64,
    pub reward_std: f64,
    /// Mean over episodes of Σ ln π - ln π_ref, in nats.
    pub kl: f64,
    /// Different pairs of neighbouring words over all pairs.
    pub distinct2: f64,
    /// Mean number of tokens that the policy wrote in an episode.
    pub length: f64,
    /// Share of episodes that came to their end.
    pub finished: f64,
}

impl PolicyFigures {
    /// By name, for metrics.jsonl.
    pub fn named(&self) -> [(&'static str, f64); 6] {
        [
            (REWARD.name, self.reward),
            (REWARD_STD.name, self.reward_std),
            (KL.name, self.kl),
            (DISTINCT2.name, self.distinct2),
            (LENGTH.name, self.length),
            (FINISHED.name, self.finished),
        ]
    }
}

impl Evaluator<'_> {
    /// Lets `model` go through the held-out examples and measures it.
    ///
    /// # Errors
    /// Those of the environment and the rewards.
    pub fn evaluate(&self, model: &Model) -> Result<PolicyFigures> {
        let examples: Vec<usize> = (0..self.heldout).collect();
        let temperature = self.generator.sampling.temperature;
        let (mut rewards, mut texts, mut kl, mut length, mut finished) =
            (Vec::new(), Vec::new(), 0.0, 0, 0);
        for (i, chunk) in examples.chunks(WRITE_TOGETHER).enumerate() {
            let seed = athanor_tensor::splitmix64(self.seed ^ i as u64);
            let episodes = self.generator.episodes(model, Part::Heldout, chunk, 1, seed)?;
            rewards.extend(self.rewards.score(&episodes)?.raw);
            let own = episode_log_probs(model, &episodes, temperature, false);
            let reference = episode_log_probs(self.reference, &episodes, temperature, false);
            kl += own.sum() - reference.sum();
            for episode in &episodes {
                length += episode.learned_count();
                finished += usize::from(episode.is_finished());
                let turns = episode.turns.iter().filter(|t| t.learned);
                texts.extend(turns.map(|t| t.message.content.clone()));
            }
        }
        let n = rewards.len().max(1) as f64;
        let (reward, reward_std) = mean_std(&rewards);
        Ok(PolicyFigures {
            reward,
            reward_std,
            kl: kl / n,
            distinct2: distinct2(&texts),
            length: length as f64 / n,
            finished: finished as f64 / n,
        })
    }

    /// Samples with their rewards: the environment's own, or the first held-out examples.
    ///
    /// # Errors
    /// Those of the environment and the rewards.
    pub fn samples(&self, model: &Model) -> Result<Vec<Sample>> {
        let own = self.generator.environment.examples(Part::Sample);
        let (part, count) =
            if own > 0 { (Part::Sample, own) } else { (Part::Heldout, SHOWN.min(self.heldout)) };
        let examples: Vec<usize> = (0..count).collect();
        let episodes = self.generator.episodes(model, part, &examples, 1, self.seed)?;
        let rewards = self.rewards.score(&episodes)?.raw;
        let sample = |(episode, reward): (&crate::episode::Episode, f64)| Sample {
            prompt: episode.request().to_owned(),
            text: episode.transcript(),
            reward: Some(reward),
        };
        Ok(episodes.iter().zip(rewards).map(sample).collect())
    }
}
