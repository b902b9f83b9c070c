//! The stage's keys.

use std::path::PathBuf;

use athanor_data::{DialogueSection, LabelledSection};
use athanor_generation::Sampling;
use athanor_store::{Check, Choice, Problem, recipe::json, section};
use athanor_training::TrainSection;
use serde_json::Value;

use crate::{
    settings::{ExampleSection, Settings},
    tasks::{TASKS, TaskKind},
};

section! {
    /// Supervised fine-tuning.
    pub struct FinetuneSection {
        /// What is learned.
        task: Choice<TaskKind> = "conversation".into(),
        /// Model folder to start from; that of this run's pretrain stage if not set.
        model: Option<PathBuf> = None,
        /// Sources of examples.
        data: Vec<ExampleSection> = Vec::new(),
        /// Examples held out, of a thousand.
        heldout_per_thousand: usize = 50,
        /// Of the others, examples of a thousand that choose the best weights (train.evaluate.keep_best,
        /// train.evaluate.patience) and are not learned from, so that the held-out ones only measure; 0: the
        /// held-out ones choose.
        validation_per_thousand: usize = 0,
        /// The labels, in their order, for tasks of labels; those of the examples (without a held-out file's), sorted, if none are named.
        labels: Vec<String> = Vec::new(),
        /// Longest row in tokens; 0 takes the model's context.
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
        Problem::unless(
            self.heldout_per_thousand < 1000,
            "heldout_per_thousand",
            "must be below 1000",
        )?;
        Problem::unless(
            self.heldout_per_thousand + self.validation_per_thousand < 1000,
            "validation_per_thousand",
            "must be below 1000 together with heldout_per_thousand",
        )?;
        let mut labels = self.labels.clone();
        labels.sort();
        labels.dedup();
        Problem::unless(labels.len() == self.labels.len(), "labels", "names a label twice")?;
        let task = self.task.entry().map_err(|e| Problem::new("task", e.to_string()))?;
        let conversation = task.conversations;
        for (i, data) in self.data.iter().enumerate() {
            let (wanted, other, good) = match conversation {
                true => {
                    ("dialogue", "examples", data.dialogue.is_some() && data.examples.is_none())
                }
                false => {
                    ("examples", "dialogue", data.examples.is_some() && data.dialogue.is_none())
                }
            };
            let task = task.name;
            let what = format!("must have `{wanted}` and no `{other}`: the task is {task}");
            Problem::unless(good, format!("data.{i}"), what)?;
        }
        self.check_meaning(task)?;
        Problem::unless(self.train.steps > 0, "train.steps", "must be at least 1")
    }
}

impl FinetuneSection {
    /// What tasks see of it.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            task: self.task.name().to_owned(),
            own: json(self).get(self.task.name()).cloned().unwrap_or_default(),
            data: self.data.clone(),
            heldout_per_thousand: self.heldout_per_thousand,
            validation_per_thousand: self.validation_per_thousand,
            labels: self.labels.clone(),
            context: self.context,
            train: self.train.clone(),
            sample_prompts: self.sample_prompts.clone(),
            sampling: self.sampling.clone(),
        }
    }

    /// Refuses keys that have a meaning for other tasks only.
    fn check_meaning(&self, task: &TaskKind) -> Result<(), Problem> {
        for key in TASKS.iter().flat_map(|t| t.uses).filter(|key| !task.uses.contains(key)) {
            let others = TASKS.iter().filter(|t| t.uses.contains(key)).map(|t| t.name);
            let others = others.collect::<Vec<_>>().join(", ");
            let what = format!("has no meaning for the task {}, only for {others}", task.name);
            match key.strip_prefix("data.") {
                None => {
                    Problem::unless(unset(&json(self), &json(&Self::default()), key), *key, what)?
                }
                Some(key) => {
                    let default = ExampleSection {
                        dialogue: Some(DialogueSection::default()),
                        examples: Some(LabelledSection::default()),
                        ..ExampleSection::default()
                    };
                    for (i, data) in self.data.iter().enumerate() {
                        let unset = unset(&json(data), &json(&default), key);
                        Problem::unless(unset, format!("data.{i}.{key}"), what.clone())?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether a key has its default, or its section is not there.
fn unset(section: &Value, default: &Value, key: &str) -> bool {
    let at = |value: &Value| key.split('.').try_fold(value.clone(), |v, part| v.get(part).cloned());
    at(section).is_none_or(|found| Some(found) == at(default))
}
