//! Exact duplicates, up to case, width of forms, punctuation and white space.

use athanor_store::{Check, section};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Mark, Outcome, Place, Step, Whole, parameters};
use crate::Document;

section! {
    /// Duplicates: two documents with the same SHA-256 (its first 64 bits) of their normalised texts.
    pub struct Duplicates {
        /// Compare lower case letters and digits only; otherwise only white space is normalised.
        letters_only: bool = true,
    }
}

impl Check for Duplicates {}

impl Step for Duplicates {
    fn parameters(&self) -> Value {
        parameters(self)
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }
}

impl Duplicates {
    fn key(&self, text: &str) -> u64 {
        let mut normal = String::with_capacity(text.len());
        if self.letters_only {
            let letters = text.chars().map(half_width).filter(|c| c.is_alphanumeric());
            normal.extend(letters.flat_map(char::to_lowercase));
        }
        // Without letters (":-)"), or to the letter.
        if normal.is_empty() {
            for word in text.split_whitespace() {
                normal.push_str(word);
                normal.push(' ');
            }
        }
        let digest = Sha256::digest(normal.as_bytes());
        digest.iter().take(8).fold(0, |n, &b| n << 8 | u64::from(b))
    }
}

impl Whole for Duplicates {
    fn keys(&self, document: &Document) -> Vec<(u64, u32)> {
        vec![(self.key(&document.text), 0)]
    }

    fn compare(&self, places: &[Place], marks: &mut Vec<Mark>) {
        marks.extend(places[1..].iter().map(|&place| Mark { place, other: places[0] }));
    }

    fn verdict(&self, _: &Document, marks: &[Mark]) -> Outcome {
        if marks.is_empty() { Outcome::Keep } else { Outcome::Drop("duplicate") }
    }
}

/// Full-width Latin letters and digits, common in Chinese text, as ASCII.
fn half_width(c: char) -> char {
    match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_and_different() {
        let step = Duplicates::default();
        let same = |a, b| step.key(a) == step.key(b);
        assert!(same("Great film!", "great  FILM"));
        assert!(same("春風，又綠。ＡＢ１", "春風又綠 ab1"));
        assert!(!same("Great film", "Great films"));
        assert!(!same(":-)", ":-("));
    }
}
