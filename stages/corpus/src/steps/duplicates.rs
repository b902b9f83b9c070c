//! Exact duplicates, up to case, width of forms, punctuation and white space.

use athanor_store::{Check, section};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Outcome, Step, parameters};

section! {
    /// Duplicates: two documents with the same SHA-256 of their normalised texts.
    pub struct Duplicates {
        /// Compare lower case letters and digits only; otherwise only white space is normalised.
        letters_only: bool = true,
    }
}

impl Check for Duplicates {}

impl Step for Duplicates {
    fn apply(&self, text: &str) -> Outcome {
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
        Outcome::Once(Sha256::digest(normal.as_bytes()).into(), "duplicate")
    }

    fn parameters(&self) -> Value {
        parameters(self)
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
        let same = |a, b| step.apply(a) == step.apply(b);
        assert!(same("Great film!", "great  FILM"));
        assert!(same("春風，又綠。ＡＢ１", "春風又綠 ab1"));
        assert!(!same("Great film", "Great films"));
        assert!(!same(":-)", ":-("));
    }
}
