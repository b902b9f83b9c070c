//! Lines or paragraphs that come again in other documents: menus, notices, signatures. As in CCNet
//! (Wenzek et al. 2020, <https://arxiv.org/abs/1911.00359>, section 3.1), with a bound on how short a
//! line may be to be compared, and on the copies that are kept.
//!
//! Lines are brought together by sorting on disk, 16 bytes each.

use std::ops::Range;

use athanor_store::{Check, Problem, section};
use serde_json::Value;

use super::{Mark, Outcome, Place, Step, Whole, grams, parameters, script};
use crate::Document;

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
    fn parameters(&self) -> Value {
        parameters(self)
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }
}

impl Lines {
    /// The lines that are compared: where they are, line ends included, and the hash of what they say.
    fn pieces(&self, text: &str) -> Vec<(Range<usize>, u64)> {
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
                letters += if script::is_ideograph(c) { 3 } else { 1 };
                normal.extend(c.to_lowercase());
            }
            if letters >= self.min_letters {
                pieces.push((range, grams::hash(&normal)));
            }
        }
        // A place has no room for more; a text of so many lines is a list.
        pieces.truncate(Place::PARTS);
        pieces
    }
}

impl Whole for Lines {
    fn keys(&self, document: &Document) -> Vec<(u64, u32)> {
        self.pieces(&document.text).into_iter().map(|(_, key)| key).zip(0..).collect()
    }

    fn compare(&self, places: &[Place], marks: &mut Vec<Mark>) {
        let more = places.iter().skip(self.copies);
        marks.extend(more.map(|&place| Mark { place, other: places[0] }));
    }

    fn verdict(&self, document: &Document, marks: &[Mark]) -> Outcome {
        if marks.is_empty() {
            return Outcome::Keep;
        }
        let pieces = self.pieces(&document.text);
        let mut text = String::with_capacity(document.text.len());
        let mut from = 0;
        for mark in marks {
            let Some((range, _)) = pieces.get(mark.place.part() as usize) else { continue };
            text.push_str(&document.text[from..range.start]);
            from = range.end;
        }
        text.push_str(&document.text[from..]);
        let text = text.trim_matches('\n').to_string();
        if text.chars().filter(|c| !c.is_whitespace()).count() < self.min_characters {
            return Outcome::Drop("little but lines that came before");
        }
        Outcome::Edit(text, vec![("lines removed", marks.len() as u64)])
    }
}
