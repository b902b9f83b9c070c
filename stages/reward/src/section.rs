//! The stage's keys.

use std::path::PathBuf;

use athanor_data::preferences::PreferenceSection;
use athanor_store::{Check, Problem, section};
use athanor_training::TrainSection;

section! {
    /// Reward modelling.
    pub struct RewardSection {
        /// Model folder whose trunk is taken; that of this run's finetune stage if not set.
        model: Option<PathBuf> = None,
        /// Sources of judged texts.
        data: Vec<PreferenceSection> = Vec::new(),
        /// Texts held out, of a thousand.
        heldout_per_thousand: usize = 100,
        /// Of the others, texts of a thousand that choose the best weights (train.evaluate.keep_best) and are not
        /// learned from; the held-out ones only measure.
        validation_per_thousand: usize = 50,
        /// Texts compared with each other in one go, all pairs of them; train.batch_size counts these groups.
        /// Pairs and rankings are groups of their own.
        texts_per_group: usize = 16,
        /// Held-out pairs that accuracy is taken over.
        heldout_pairs: usize = 4000,
        /// Least gap in mean rating of a held-out pair.
        heldout_gap: f64 = 0.5,
        /// Least confidence in the order of a held-out pair, from the raters' spread.
        heldout_confidence: f64 = 0.95,
        /// Weight of the square of the reward, which keeps rewards around 0.
        centre: f64 = 0.01,
        /// Weight of the next-token loss on the texts themselves, which keeps a small trunk from
        /// forgetting language while it learns to score.
        language: f64 = 0.0,
        /// Weight of the same loss on the mean of the scores at all of a text's tokens: every token then
        /// hears what the text was worth, not only the last.
        every_token: f64 = 0.0,
        /// Probability that a token of a text is hidden from the model while it learns (it reads <|pad|>),
        /// so that no single word decides.
        token_dropout: f64 = 0.0,
        /// Longest text in tokens; 0 takes the model's context.
        context: usize = 0,
        /// How the model is trained.
        train: TrainSection = TrainSection::default(),
    }
}

impl Check for RewardSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(
            self.heldout_per_thousand < 1000,
            "heldout_per_thousand",
            "must be below 1000",
        )?;
        Problem::unless(self.texts_per_group >= 2, "texts_per_group", "must be at least 2")?;
        let share = (0.5..1.0).contains(&self.heldout_confidence);
        Problem::unless(share, "heldout_confidence", "must be 0.5 or more and below 1")?;
        Problem::unless(self.heldout_gap >= 0.0, "heldout_gap", "must be 0 or more")?;
        Problem::unless(
            self.validation_per_thousand < 1000,
            "validation_per_thousand",
            "must be below 1000",
        )?;
        let share = (0.0..1.0).contains(&self.token_dropout);
        Problem::unless(share, "token_dropout", "must be 0 or more and below 1")?;
        Problem::unless(self.centre >= 0.0, "centre", "must be 0 or more")?;
        Problem::unless(self.language >= 0.0, "language", "must be 0 or more")?;
        Problem::unless(self.every_token >= 0.0, "every_token", "must be 0 or more")?;
        Problem::unless(self.train.steps > 0, "train.steps", "must be at least 1")
    }
}
