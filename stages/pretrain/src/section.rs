//! The stage's keys.

use std::path::PathBuf;

use athanor_generation::Sampling;
use athanor_store::{Check, Problem, section};
use athanor_training::{ModelSection, TrainSection};

use crate::objectives::{self, MaskedLmSection, PermutationLmSection, ReplacedTokenSection};

section! {
    /// Pretraining: what is learned, by which model, how.
    pub struct PretrainSection {
        /// What is predicted: causal (the next token) masked_lm (hidden tokens; BERT,
        /// RoBERTa) replaced_token (which tokens were exchanged; ELECTRA) or permutation_lm (tokens in a
        /// random order; XLNet).
        objective: String = "causal".into(),
        /// Folder of token shards; that of this run's corpus stage if not set.
        corpus: Option<PathBuf> = None,
        /// Model folder to go on from; a new model if not set.
        init: Option<PathBuf> = None,
        /// Attention stays within a document and positions begin anew in each (causal).
        document_mask: bool = true,
        /// Keys of masked_lm.
        masked_lm: MaskedLmSection = MaskedLmSection::default(),
        /// Keys of replaced_token.
        replaced_token: ReplacedTokenSection = ReplacedTokenSection::default(),
        /// Keys of permutation_lm.
        permutation_lm: PermutationLmSection = PermutationLmSection::default(),
        /// The model, if it is new.
        model: ModelSection = ModelSection::default(),
        /// How it is trained.
        train: TrainSection = TrainSection::default(),
        /// Beginnings that the model goes on from, to show what it can do.
        sample_prompts: Vec<String> = Vec::new(),
        /// How samples are drawn.
        sampling: Sampling = Sampling::default(),
    }
}

impl Check for PretrainSection {
    fn check(&self) -> Result<(), Problem> {
        let names: Vec<&str> = objectives::OBJECTIVES.iter().map(|o| o.name).collect();
        Problem::unless_one_of("objective", &self.objective, &names)?;
        Problem::unless(self.train.steps > 0, "train.steps", "must be at least 1")
    }
}
