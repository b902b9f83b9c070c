//! A stage's work as tasks see it.

use std::path::Path;

use athanor_models::Model;
use athanor_store::{Result, Run};
use athanor_training::{StageContext, Trainer};

use crate::settings::Settings;

/// What a task works with.
pub(crate) struct Job<'a> {
    pub run: &'a Run,
    pub section: &'a Settings,
    pub context: &'a StageContext<'a>,
    /// The model that it starts from.
    pub folder: &'a Path,
}

impl<'a> Job<'a> {
    /// A trainer, begun or gone on with.
    pub fn trainer(&self, model: Model) -> Result<Trainer<'a>> {
        let train = &self.section.train;
        Trainer::open(self.context, train, model, train.steps, train.steps)
    }
}
