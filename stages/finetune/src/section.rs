//! The stage's keys.

use std::path::PathBuf;

use athanor_data::DialogueSection;
use athanor_generation::Sampling;
use athanor_store::{Check, Problem, section};
use athanor_training::TrainSection;

use crate::tasks;

section! {
    /// A source of examples.
    pub struct ExampleSection {
        /// What the examples are.
        dialogue: DialogueSection = DialogueSection::default(),
        /// How often each example is seen in an epoch.
        repeat: usize = 1,
        /// Weight of each learned token in the loss. Answers of a word or two are a small part of all tokens;
        /// a weight above 1 gives them a larger part of the loss.
        weight: f64 = 1.0,
        /// Figure for held-out examples after training: accuracy (the greedy answer is the expected
        /// one, word for word), or none.
        metric: String = "none".into(),
        /// Held-out examples that the figure is taken over, at most.
        metric_items: usize = 200,
    }
}

impl Check for ExampleSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(self.repeat > 0, "repeat", "must be at least 1")?;
        let positive = self.weight > 0.0 && self.weight.is_finite();
        Problem::unless(positive, "weight", "must be above 0")?;
        Problem::unless_one_of("metric", &self.metric, &["none", "accuracy"])
    }
}

section! {
    /// Supervised fine-tuning.
    pub struct FinetuneSection {
        /// The kind of task: conversation.
        task: String = "conversation".into(),
        /// Model folder to start from; that of this run's pretrain stage if not set.
        model: Option<PathBuf> = None,
        /// Sources of examples.
        data: Vec<ExampleSection> = Vec::new(),
        /// Examples held out, of a thousand.
        heldout_per_thousand: usize = 50,
        /// Longest packed row in tokens; 0 takes the model's context.
        context: usize = 0,
        /// How the model is trained.
        train: TrainSection = TrainSection::default(),
        /// Requests that show what the model can do.
        sample_prompts: Vec<String> = Vec::new(),
        /// How samples are drawn.
        sampling: Sampling = Sampling::default(),
    }
}

impl Check for FinetuneSection {
    fn check(&self) -> Result<(), Problem> {
        let names: Vec<&str> = tasks::TASKS.iter().map(|t| t.name).collect();
        Problem::unless_one_of("task", &self.task, &names)?;
        Problem::unless(
            self.heldout_per_thousand < 1000,
            "heldout_per_thousand",
            "must be below 1000",
        )?;
        Problem::unless(self.train.steps > 0, "train.steps", "must be at least 1")
    }
}
