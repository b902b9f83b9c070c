//! The stage's keys.

use std::path::PathBuf;

use athanor_data::DialogueSection;
use athanor_store::{Check, Problem, section};
use athanor_training::TrainSection;

use crate::{algorithms, rewards};

section! {
    /// The penalty for leaving the reference.
    pub struct KlSection {
        /// Coefficient of the per-token penalty at the beginning.
        coefficient: f64 = 0.1,
        /// KL to the reference, in nats an answer, towards which the coefficient is steered; 0 keeps
        /// it fixed.
        target: f64 = 8.0,
        /// Answers in which the coefficient can change by a factor of about e.
        horizon: f64 = 2000.0,
    }
}

impl Check for KlSection {
    fn check(&self) -> Result<(), Problem> {
        for (key, value) in [("coefficient", self.coefficient), ("target", self.target)] {
            Problem::unless(value >= 0.0 && value.is_finite(), key, "must be 0 or more")?;
        }
        Problem::unless(self.horizon > 0.0, "horizon", "must be above 0")
    }
}

section! {
    /// Proximal policy optimisation.
    pub struct PpoSection {
        /// Passes over the answers of an iteration.
        epochs: usize = 4,
        /// Discount.
        gamma: f64 = 1.0,
        /// Decay of generalised advantage estimation.
        lambda: f64 = 0.95,
        /// How far the probability ratio may move before it stops counting.
        clip: f64 = 0.2,
        /// How far a value may move from its old one before it stops counting.
        value_clip: f64 = 0.2,
        /// Weight of the value loss.
        value_coefficient: f64 = 0.1,
        /// Shift and scale advantages to mean 0 and deviation 1.
        whiten_advantages: bool = true,
        /// The penalty for leaving the reference.
        kl: KlSection = KlSection::default(),
    }
}

impl Check for PpoSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(self.epochs > 0, "epochs", "must be at least 1")?;
        for (key, value) in [("gamma", self.gamma), ("lambda", self.lambda)] {
            Problem::unless((0.0..=1.0).contains(&value), key, "must be 0 to 1")?;
        }
        for (key, value) in [
            ("clip", self.clip),
            ("value_clip", self.value_clip),
            ("value_coefficient", self.value_coefficient),
        ] {
            Problem::unless(value >= 0.0 && value.is_finite(), key, "must be 0 or more")?;
        }
        Ok(())
    }
}

section! {
    /// Reinforcement learning. train.steps counts iterations, each of which writes answers and learns
    /// from them; train.batch_size times train.accumulate answers make one update.
    pub struct ReinforceSection {
        /// The algorithm: ppo.
        algorithm: String = "ppo".into(),
        /// Model folder of the policy; that of this run's finetune stage if not set.
        model: Option<PathBuf> = None,
        /// Where rewards come from: model (a reward model).
        reward: String = "model".into(),
        /// Folder of the reward model; that of this run's reward stage if not set.
        reward_model: Option<PathBuf> = None,
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
        /// Shift and scale rewards so that the first policy's have mean 0 and deviation 1.
        normalise_rewards: bool = true,
        /// PPO's own keys.
        ppo: PpoSection = PpoSection::default(),
        /// How the policy is trained.
        train: TrainSection = TrainSection::default(),
        /// Requests that show what the policy does.
        sample_prompts: Vec<String> = Vec::new(),
    }
}

impl Check for ReinforceSection {
    fn check(&self) -> Result<(), Problem> {
        let names: Vec<&str> = algorithms::ALGORITHMS.iter().map(|a| a.name).collect();
        Problem::unless_one_of("algorithm", &self.algorithm, &names)?;
        let names: Vec<&str> = rewards::REWARDS.iter().map(|r| r.name).collect();
        Problem::unless_one_of("reward", &self.reward, &names)?;
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
        Problem::unless(
            self.train.patience == 0 && !self.train.keep_best,
            "train",
            "patience and keep_best are for supervised stages",
        )?;
        Problem::unless(
            self.train.dropout == 0.0,
            "train.dropout",
            "must be 0: the ratio of probabilities needs a fixed policy",
        )?;
        Problem::unless(self.train.steps > 0, "train.steps", "must be at least 1")
    }
}
