//! The stage's keys.

use std::path::PathBuf;

use athanor_generation::Sampling;
use athanor_store::{Check, Choice, Problem, section};
use athanor_training::{ModelSection, TrainSection};

use crate::{
    objectives::{Objective, Settings},
    short_rows::ShortRowsSection,
};

section! {
    /// Pretraining: what is learned, by which model, how.
    pub struct PretrainSection {
        /// What is predicted.
        objective: Choice<Objective> = "causal".into(),
        /// Folder of token shards; that of this run's corpus stage if not set.
        corpus: Option<PathBuf> = None,
        /// Model folder to go on from; a new model if not set.
        init: Option<PathBuf> = None,
        /// Attention stays within a document and positions begin anew in each (causal).
        document_mask: bool = true,
        /// Short rows first (masked_lm, replaced_token).
        short_rows: ShortRowsSection = ShortRowsSection::default(),
        /// The model, if it is new.
        model: ModelSection = ModelSection::default(),
        /// How it is trained.
        train: TrainSection = TrainSection::pretraining(),
        /// Beginnings that the model goes on from, to show what it can do.
        sample_prompts: Vec<String> = Vec::new(),
        /// How samples are drawn.
        sampling: Sampling = Sampling::default(),
    }
}

impl Check for PretrainSection {
    fn check(&self) -> Result<(), Problem> {
        let masked = ["masked_lm", "replaced_token"].contains(&self.objective.name());
        Problem::unless(
            self.short_rows.context == 0 || masked,
            "short_rows",
            "is for masked_lm and replaced_token; leave it out",
        )?;
        Problem::unless(self.train.steps > 0, "train.steps", "must be at least 1")
    }
}

impl PretrainSection {
    /// What objectives read of it.
    pub(crate) fn settings(&self) -> Settings<'_> {
        Settings {
            objective: &self.objective,
            document_mask: self.document_mask,
            short_rows: &self.short_rows,
            model: &self.model,
            train: &self.train,
            sample_prompts: &self.sample_prompts,
            sampling: &self.sampling,
        }
    }
}
