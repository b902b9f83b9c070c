//! PPO's keys.

use athanor_store::{Check, Problem, section};

section! {
    /// The penalty for leaving the reference.
    pub struct KlSection {
        /// Coefficient of the per-token penalty at the beginning.
        coefficient: f64 = 0.1,
        /// KL to the reference, in nats an answer, towards which the coefficient is steered; 0 keeps
        /// it fixed.
        target: f64 = 8.0,
        /// Answers over which the coefficient changes by a fifth at most (the error is cut to 0.2).
        horizon: f64 = 2000.0,
    }
}

impl Check for KlSection {
    fn check(&self) -> Result<(), Problem> {
        for (key, value) in [("coefficient", self.coefficient), ("target", self.target)] {
            Problem::unless(value >= 0.0 && value.is_finite(), key, "must be 0 or more")?;
        }
        Problem::unless(self.horizon > 0.0, "horizon", "must be above 0")
    }
}

section! {
    /// Proximal policy optimisation.
    pub struct PpoSection {
        /// Passes over the answers of an iteration.
        epochs: usize = 4,
        /// Discount.
        gamma: f64 = 1.0,
        /// Decay of generalised advantage estimation.
        lambda: f64 = 0.95,
        /// How far the probability ratio may move before it stops counting.
        clip: f64 = 0.2,
        /// How far a value may move from its old one before it stops counting.
        value_clip: f64 = 0.2,
        /// Weight of the value loss.
        value_coefficient: f64 = 0.1,
        /// Shift and scale advantages to mean 0 and deviation 1.
        whiten_advantages: bool = true,
        /// The penalty for leaving the reference.
        kl: KlSection = KlSection::default(),
    }
}

impl Check for PpoSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(self.epochs > 0, "epochs", "must be at least 1")?;
        for (key, value) in [("gamma", self.gamma), ("lambda", self.lambda)] {
            Problem::unless((0.0..=1.0).contains(&value), key, "must be 0 to 1")?;
        }
        for (key, value) in [
            ("clip", self.clip),
            ("value_clip", self.value_clip),
            ("value_coefficient", self.value_coefficient),
        ] {
            Problem::unless(value >= 0.0 && value.is_finite(), key, "must be 0 or more")?;
        }
        Ok(())
    }
}
