//! Lines or paragraphs that come again in other documents: menus, notices, signatures. As in CCNet
//! (Wenzek et al. 2020, <https://arxiv.org/abs/1911.00359>, section 3.1), with a bound on how short a
//! line may be to be compared, and on the copies that are kept.
//!
//! Memory: a hash of 8 bytes and a count of 4 for every different line.

use athanor_store::{Check, Problem, section};
use serde_json::Value;

use super::{Outcome, Pieces, Step, grams, parameters, units};

section! {
    /// Lines across documents.
    pub struct Lines {
        /// "line" or "paragraph" (lines up to an empty one).
        unit: String = "line".to_string(),
        /// Compare only those of at least so many letters and digits; an ideograph counts three.
        min_letters: usize = 40,
        /// Keep a line this many times.
        copies: usize = 1,
        /// Drop a document of which fewer characters are left.
        min_characters: usize = 20,
    }
}

impl Check for Lines {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless_one_of("unit", &self.unit, &["line", "paragraph"])?;
        Problem::unless(self.copies > 0, "copies", "must be at least 1")
    }
}

impl Step for Lines {
    fn apply(&self, text: &str) -> Outcome {
        let breaks = if self.unit == "line" { "\n" } else { "\n\n" };
        let mut pieces = Vec::new();
        let mut start = 0;
        let mut normal = String::new();
        for part in text.split_inclusive(breaks) {
            let range = start..start + part.len();
            start = range.end;
            normal.clear();
            let mut letters = 0;
            for c in part.chars().filter(|c| c.is_alphanumeric()) {
                letters += if units::is_ideograph(c) { 3 } else { 1 };
                normal.extend(c.to_lowercase());
            }
            if letters >= self.min_letters {
                pieces.push((range, grams::hash(&normal)));
            }
        }
        Outcome::Pieces(Pieces {
            pieces,
            copies: u32::try_from(self.copies).unwrap_or(u32::MAX),
            min_characters: self.min_characters,
        })
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}
