//! Algorithms. One is a file and a line here.

mod ppo;

pub use ppo::{KlSection, PpoSection};

use athanor_store::Result;
use athanor_training::{Figures, Trainer};

use crate::stage::Materials;

/// One algorithm.
pub struct Algorithm {
    /// Its name in a recipe.
    pub name: &'static str,
    /// Updates that an iteration makes, for the schedule.
    pub(crate) updates: fn(&crate::ReinforceSection) -> u64,
    /// Improves the trainer's policy; gives figures for summary.json.
    pub(crate) train: fn(&mut Trainer<'_>, &Materials<'_>) -> Result<Figures>,
}

/// All algorithms.
pub static ALGORITHMS: &[Algorithm] =
    &[Algorithm { name: "ppo", updates: ppo::updates, train: ppo::train }];
