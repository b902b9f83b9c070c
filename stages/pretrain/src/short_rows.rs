//! Steps with short rows before those with whole ones.

use athanor_store::{Check, Problem, section};

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
