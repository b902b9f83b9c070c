//! The stage's keys.

use std::path::{Path, PathBuf};

use athanor_data::{DialogueSection, preferences::PreferenceSection};
use athanor_store::{Check, Choice, Problem, section};
use athanor_training::TrainSection;

use crate::{
    algorithms::{Algorithm, Method},
    environments::EnvironmentKind,
    rewards::RewardSection,
};

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
        /// Judged answers, for methods that learn from fixed comparisons.
        preferences: Vec<PreferenceSection> = Vec::new(),
        /// How sure the order of two answers must be, as a probability, for a method to learn from it.
        preference_confidence: f64 = 0.75,
        /// Requests that the policy answers; what they say the assistant said is not read.
        prompts: Vec<DialogueSection> = Vec::new(),
        /// Requests held out, of a thousand.
        heldout_per_thousand: usize = 100,
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
    /// The files that it names, with their keys.
    pub fn files(&self) -> Vec<(String, &Path)> {
        let prompts = self.prompts.iter().enumerate();
        let prompts = prompts.map(|(i, s)| (format!("prompts.{i}.path"), s.path.as_path()));
        let preferences = self.preferences.iter().enumerate();
        let preferences = preferences
            .map(|(i, s)| (format!("preferences.{i}.dialogue.path"), s.dialogue.path.as_path()));
        prompts.chain(preferences).collect()
    }

    /// The rewards: those that are named; for requests without any, this run's reward model. Other
    /// environments reward by themselves, and methods that learn from comparisons need none.
    pub fn rewards(&self) -> Vec<RewardSection> {
        let writes = self.preferences.is_empty() && self.environment.name() == "prompts";
        match &self.rewards[..] {
            [] if writes => vec![RewardSection::default()],
            named => named.to_vec(),
        }
    }
}

impl Check for ReinforceSection {
    fn check(&self) -> Result<(), Problem> {
        for (key, value) in [
            ("answers", self.answers),
            ("max_new_tokens", self.max_new_tokens),
            ("train.evaluate.items", self.train.evaluate.items),
        ] {
            Problem::unless(value > 0, key, "must be at least 1")?;
        }
        Problem::unless(self.temperature > 0.0, "temperature", "must be above 0")?;
        Problem::unless(
            self.heldout_per_thousand < 1000,
            "heldout_per_thousand",
            "must be below 1000",
        )?;
        let share = (0.5..=1.0).contains(&self.preference_confidence);
        Problem::unless(share, "preference_confidence", "must be 0.5 to 1")?;
        Problem::unless(self.train.steps > 0, "train.steps", "must be at least 1")?;
        match self.algorithm.entry().map(|entry| (entry.open)(&self.algorithm)) {
            Ok(Method::Online(algorithm)) => self.check_online(algorithm.needs().group),
            Ok(Method::Direct(_)) => self.check_direct(),
            // The key's own check reports an unknown name.
            Err(_) => Ok(()),
        }
    }
}

impl ReinforceSection {
    /// What a method that writes needs: whole updates, whole groups, a fixed policy.
    fn check_online(&self, group: usize) -> Result<(), Problem> {
        let minibatch = self.train.batch_size * self.train.accumulate;
        for (unit, what) in [
            (minibatch, "train.batch_size times train.accumulate"),
            (group, "the answers to a request"),
        ] {
            Problem::unless(
                unit == 0 || self.answers.is_multiple_of(unit),
                "answers",
                format!("is {}, it must be a multiple of {what} ({unit})", self.answers),
            )?;
        }
        let evaluate = &self.train.evaluate;
        let supervised = "is for supervised stages: no held-out loss is measured here";
        Problem::unless(evaluate.patience == 0, "train.evaluate.patience", supervised)?;
        Problem::unless(!evaluate.keep_best, "train.evaluate.keep_best", supervised)?;
        let none = self.preferences.is_empty();
        Problem::unless(none, "preferences", self.has_no_meaning())?;
        if self.environment.name() != "prompts" {
            let other = format!("has no meaning for environment = \"{}\"", self.environment);
            Problem::unless(self.prompts.is_empty(), "prompts", &other)?;
            Problem::unless(self.sample_prompts.is_empty(), "sample_prompts", &other)?;
        }
        Problem::unless(
            self.train.average == 0.0,
            "train.average",
            "must be 0: the policy that writes is the one that learns",
        )?;
        Problem::unless(
            self.train.dropout == 0.0,
            "train.dropout",
            "must be 0: the ratio of probabilities needs a fixed policy",
        )
    }

    /// What a method that learns from fixed comparisons needs.
    fn check_direct(&self) -> Result<(), Problem> {
        Problem::unless(
            !self.preferences.is_empty(),
            "preferences",
            format!("is empty: {} learns from [[reinforce.preferences]]", self.algorithm),
        )?;
        for (key, none) in [
            ("rewards", self.rewards.is_empty()),
            ("prompts", self.prompts.is_empty()),
            ("environment", self.environment.name() == "prompts"),
        ] {
            Problem::unless(none, key, self.has_no_meaning())?;
        }
        Ok(())
    }

    fn has_no_meaning(&self) -> String {
        format!("has no meaning for algorithm = \"{}\"", self.algorithm)
    }
}
