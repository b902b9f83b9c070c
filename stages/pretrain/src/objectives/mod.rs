//! What pretraining predicts. An objective is one file and one line here.

mod causal;

use athanor_store::Result;
use athanor_training::{Figures, Trainer};

use crate::stage::Materials;

/// One objective.
pub struct Objective {
    /// Its name in a recipe.
    pub name: &'static str,
    /// Trains until done; gives the last figures on held-out data.
    pub(crate) train: fn(&mut Trainer<'_>, Materials<'_>) -> Result<Figures>,
}

/// All objectives.
pub static OBJECTIVES: &[Objective] = &[Objective { name: "causal", train: causal::train }];
