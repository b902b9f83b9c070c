//! What pretraining predicts. An objective is one file and one line here.

mod causal;
mod masked_lm;
mod permutation_lm;
mod replaced_token;

use athanor_models::{Guest, Head, Model};
use athanor_store::{Entry, OwnKeys, Registered, Registry, Result};
use athanor_training::{Figures, Task, Trainer};
use serde_json::{Map, Value};

use crate::{section::PretrainSection, stage::Materials};

pub use masked_lm::MaskedLmSection;
pub use permutation_lm::PermutationLmSection;
pub use replaced_token::ReplacedTokenSection;

/// One objective.
pub struct Objective {
    /// Its name in a recipe.
    pub name: &'static str,
    /// What is predicted.
    pub about: &'static str,
    /// Its own keys.
    pub keys: Option<OwnKeys>,
    /// The head that it trains.
    pub(crate) head: fn(&PretrainSection) -> Head,
    /// Changes a new model's config.json.
    pub(crate) config: fn(&PretrainSection, &mut Map<String, Value>),
    /// A second model that is trained beside the first, its parameters among those of the first.
    pub(crate) guest: fn(&PretrainSection, &mut Model, u64) -> Result<Option<Guest>>,
    /// The batches of a step, as training makes them, counted.
    pub(crate) steps: for<'a> fn(&'a Materials<'a>, &Model, u64) -> Result<Steps<'a>>,
    /// Trains until done.
    pub(crate) train: fn(&mut Trainer<'_>, &Materials<'_>) -> Result<Outcome>,
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
    /// What else the summary tells.
    pub summary: Map<String, Value>,
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

impl Entry for Objective {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn keys(&self) -> Option<OwnKeys> {
        self.keys
    }
}

impl Registered for Objective {
    fn registry() -> &'static Registry<Self> {
        &OBJECTIVES
    }
}
