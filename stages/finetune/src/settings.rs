//! What a task sees of the recipe.

use std::path::Path;

use athanor_data::{DialogueSection, LabelledSection};
use athanor_generation::Sampling;
use athanor_store::{Check, Problem, Section, section};
use athanor_training::TrainSection;
use serde_json::Value;

section! {
    /// A source of examples.
    pub struct ExampleSection {
        /// Conversations; for the task conversation.
        dialogue: Option<DialogueSection> = None,
        /// Labelled examples; for the other tasks.
        examples: Option<LabelledSection> = None,
        /// How often each example is seen in an epoch.
        repeat: usize = 1,
        /// Weight of each learned token, or label, in the loss. Answers of a word or two are a small part of
        /// all tokens; a weight above 1 gives them a larger part of the loss.
        weight: f64 = 1.0,
        /// Figure for held-out conversations after training: accuracy (the greedy answer is the expected
        /// one, word for word), or none. Only for conversations; other tasks have theirs.
        metric: String = "none".into(),
        /// Held-out conversations that the figure is taken over, at most.
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

impl ExampleSection {
    /// Its name in tables.
    pub fn title(&self) -> String {
        let dialogue = self.dialogue.as_ref().map(DialogueSection::title);
        dialogue.or(self.examples.as_ref().map(LabelledSection::title)).unwrap_or_default()
    }

    /// Its files, with the names of their keys.
    pub fn files(&self) -> Vec<(String, &Path)> {
        let dialogue = self.dialogue.iter().map(|d| ("dialogue.path".into(), d.path.as_path()));
        let examples = self.examples.iter().flat_map(LabelledSection::files);
        dialogue.chain(examples.map(|(key, path)| (format!("examples.{key}"), path))).collect()
    }
}

/// The stage's keys without the choice of a task.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The task's name.
    pub task: String,
    /// The task's own keys.
    pub own: Value,
    /// Sources of examples.
    pub data: Vec<ExampleSection>,
    /// Examples held out, of a thousand.
    pub heldout_per_thousand: usize,
    /// Of the others, those that choose the best weights.
    pub validation_per_thousand: usize,
    /// The labels that the recipe names.
    pub labels: Vec<String>,
    /// Longest row in tokens; 0: the model's context.
    pub context: usize,
    /// How the model is trained.
    pub train: TrainSection,
    /// Requests that show what the model can do.
    pub sample_prompts: Vec<String>,
    /// How samples are drawn.
    pub sampling: Sampling,
}

impl Settings {
    /// The task's own keys as its section.
    pub fn own<S: Section>(&self) -> S {
        serde_json::from_value(self.own.clone()).unwrap_or_default()
    }
}
