//! The stage's keys.

use std::path::PathBuf;

use athanor_generation::Sampling;
use athanor_store::{Check, Choice, Problem, section};
use athanor_training::{ModelSection, TrainSection};

use crate::objectives::Objective;

section! {
    /// Short rows first: with learned positions attention finds neighbours sooner where few places compete
    /// (Press et al. 2021, "Shortformer"); BERT had rows of 128 for 90 % of its steps and then of 512.
    pub struct ShortRowsSection {
        /// Tokens of a short row; 0: all rows are whole.
        context: usize = 0,
        /// Share of the steps that have short rows, as many tokens a step as the others.
        share: f64 = 0.9,
    }
}

impl Check for ShortRowsSection {
    fn check(&self) -> Result<(), Problem> {
        let good = (0.0..1.0).contains(&self.share);
        Problem::unless(good, "share", "must be 0 or more and below 1")
    }
}

impl ShortRowsSection {
    /// Steps with short rows, of so many.
    pub fn steps(&self, steps: u64) -> u64 {
        if self.context == 0 { 0 } else { (steps as f64 * self.share).round() as u64 }
    }
}

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
