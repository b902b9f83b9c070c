//! What pretraining predicts. An objective is one file and one line here.

mod causal;
mod masked_lm;
mod permutation_lm;
mod replaced_token;

use std::path::Path;

use athanor_data::{Shards, Split};
use athanor_generation::Sampling;
use athanor_models::{Guest, Head, Model};
use athanor_store::{
    Choice, OwnKeys, Registry, Result,
    figures::{Logged, Masking},
};
use athanor_tensor::Device;
use athanor_text::Tokenizer;
use athanor_training::{Figures, ModelSection, Task, TrainSection, Trainer};
use serde_json::{Map, Value, json};

use crate::short_rows::ShortRowsSection;

pub use masked_lm::MaskedLmSection;
pub use permutation_lm::PermutationLmSection;
pub use replaced_token::ReplacedTokenSection;

/// The keys that objectives read.
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a> {
    /// The objective's name and its own keys.
    pub objective: &'a Choice<Objective>,
    pub document_mask: bool,
    pub short_rows: &'a ShortRowsSection,
    pub model: &'a ModelSection,
    pub train: &'a TrainSection,
    pub sample_prompts: &'a [String],
    pub sampling: &'a Sampling,
}

/// What an objective works with.
pub(crate) struct Context<'a> {
    pub section: Settings<'a>,
    pub tokenizer: &'a Tokenizer,
    pub corpus: &'a Path,
    /// The second model, where the objective has one.
    pub guest: Option<Guest>,
    /// Where batches are made.
    pub device: Device,
}

impl Context<'_> {
    pub fn open(&self, split: Split) -> Result<Shards> {
        Shards::open(self.corpus, split)
    }
}

/// One objective.
pub struct Objective {
    /// Its name in a recipe.
    pub name: &'static str,
    /// What is predicted.
    pub about: &'static str,
    /// Its own keys.
    pub keys: Option<OwnKeys>,
    /// What it writes into metrics.jsonl.
    pub logged: Logged,
    /// The head that it trains.
    pub(crate) head: fn(&Settings<'_>) -> Head,
    /// Changes a new model's config.json.
    pub(crate) config: fn(&Settings<'_>, &mut Map<String, Value>),
    /// A second model that is trained beside the first, its parameters among those of the first.
    pub(crate) guest: fn(&Settings<'_>, &mut Model, u64) -> Result<Option<Guest>>,
    /// The batches of a step, as training makes them, counted.
    pub(crate) steps: for<'a> fn(&'a Context<'a>, &Model, u64) -> Result<Steps<'a>>,
    /// Trains until done.
    pub(crate) train: fn(&mut Trainer<'_>, &Context<'_>) -> Result<Outcome>,
}

/// Makes the batches of a step and says how many tokens they have.
pub(crate) type Steps<'a> = Box<dyn FnMut(u64) -> Result<usize> + 'a>;

/// [`Steps`] of a task.
pub(crate) fn steps_of<'a, T: Task + 'a>(mut task: T) -> Steps<'a> {
    Box::new(move |step| Ok(task.batches(step)?.iter().map(|micro| micro.tokens).sum()))
}

/// What came of it.
pub(crate) struct Outcome {
    /// The last figures on held-out data.
    pub figures: Figures,
    /// What was hidden, if the objective hides tokens.
    pub masking: Option<Masking>,
    /// Figures of guesses without a network, by name.
    pub baseline: Option<Map<String, Value>>,
}

impl Outcome {
    /// Of an objective that hides tokens; `baseline` are the figures of guesses without a network.
    pub fn hidden(figures: Figures, masking: Masking, baseline: Option<Figures>) -> Self {
        let baseline = baseline.into_iter().flatten();
        let baseline = baseline.map(|(name, value)| (name.to_owned(), json!(value))).collect();
        Self { figures, masking: Some(masking), baseline: Some(baseline) }
    }
}

/// All objectives.
pub static OBJECTIVES: Registry<Objective> = Registry::new(
    "objective",
    &[
        causal::OBJECTIVE,
        masked_lm::OBJECTIVE,
        replaced_token::OBJECTIVE,
        permutation_lm::OBJECTIVE,
    ],
);

athanor_store::registered!(Objective, OBJECTIVES, keys);
