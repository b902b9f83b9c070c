//! The stage's keys.

use std::path::PathBuf;

use athanor_data::DialogueSection;
use athanor_store::{Check, Choice, Problem, section};
use athanor_training::TrainSection;

use crate::{algorithms::Algorithm, environments::EnvironmentKind, rewards::RewardSection};

section! {
    /// Reinforcement learning. train.steps counts iterations, each of which writes answers and learns
    /// from them; train.batch_size times train.accumulate answers make one update.
    pub struct ReinforceSection {
        /// The algorithm.
        algorithm: Choice<Algorithm> = "ppo".into(),
        /// Model folder of the policy; that of this run's finetune stage if not set.
        model: Option<PathBuf> = None,
        /// Where rewards come from, a weighted list; the reward model of this run's reward stage if none is named.
        rewards: Vec<RewardSection> = Vec::new(),
        /// What the policy talks with.
        environment: Choice<EnvironmentKind> = "prompts".into(),
        /// Requests that the policy answers; what they say the assistant said is not read.
        prompts: Vec<DialogueSection> = Vec::new(),
        /// Requests held out, of a thousand.
        heldout_per_thousand: usize = 100,
        /// Held-out requests that the policy is measured on, before and after.
        heldout_prompts: usize = 200,
        /// Answers in an iteration.
        answers: usize = 64,
        /// Longest answer in tokens.
        max_new_tokens: usize = 48,
        /// Temperature of the answers; the policy is this distribution in training too.
        temperature: f64 = 1.0,
        /// Reward of an answer that does not end within its tokens, instead of the model's.
        unfinished_reward: f64 = -1.0,
        /// How the policy is trained.
        train: TrainSection = TrainSection::default(),
        /// Requests that show what the policy does.
        sample_prompts: Vec<String> = Vec::new(),
    }
}

impl ReinforceSection {
    /// The rewards: those that are named; for requests without any, this run's reward model. Other
    /// environments reward by themselves.
    pub fn rewards(&self) -> Vec<RewardSection> {
        match &self.rewards[..] {
            [] if self.environment.name() == "prompts" => vec![RewardSection::default()],
            named => named.to_vec(),
        }
    }
}

impl Check for ReinforceSection {
    fn check(&self) -> Result<(), Problem> {
        for (key, value) in [
            ("answers", self.answers),
            ("max_new_tokens", self.max_new_tokens),
            ("heldout_prompts", self.heldout_prompts),
        ] {
            Problem::unless(value > 0, key, "must be at least 1")?;
        }
        Problem::unless(self.temperature > 0.0, "temperature", "must be above 0")?;
        Problem::unless(
            self.heldout_per_thousand < 1000,
            "heldout_per_thousand",
            "must be below 1000",
        )?;
        let minibatch = self.train.batch_size * self.train.accumulate;
        let fits = self.answers.is_multiple_of(minibatch);
        Problem::unless(
            fits,
            "answers",
            format!(
                "is {}, it must be a multiple of train.batch_size times train.accumulate ({minibatch})",
                self.answers
            ),
        )?;
        if let Ok(algorithm) = self.algorithm.entry() {
            let group = (algorithm.open)(&self.algorithm).needs().group;
            Problem::unless(
                group == 0 || self.answers.is_multiple_of(group),
                "answers",
                format!(
                    "is {}, it must be a multiple of the answers to a request ({group})",
                    self.answers
                ),
            )?;
        }
        Problem::unless(
            self.train.patience == 0 && !self.train.keep_best && self.train.average == 0.0,
            "train",
            "patience, keep_best and average are for supervised stages",
        )?;
        Problem::unless(
            self.train.dropout == 0.0,
            "train.dropout",
            "must be 0: the ratio of probabilities needs a fixed policy",
        )?;
        Problem::unless(self.train.steps > 0, "train.steps", "must be at least 1")
    }
}
