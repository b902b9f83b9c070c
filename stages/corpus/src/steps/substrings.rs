//! Exact repeated substrings: what stands word for word in another place of the corpus, 50 words long
//! and more, goes there (Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better",
//! <https://arxiv.org/abs/2107.06499>). The first place keeps it.
//!
//! Lee et al. sort all suffixes. A substring of at least n words is repeated if and only if all its
//! windows of n words are, so it is enough to sort the hashes (64 bits) of all windows, which needs no
//! memory for the whole text: 16 bytes on disk for each word, and `memory_mib` to sort. In Chinese text
//! an ideograph is a word. Words are compared as they stand, white space is not.

use athanor_data::splitmix64;
use athanor_store::{Check, Problem, Result, section};
use serde_json::{Value, json};

use super::{Mark, Outcome, Place, Step, Whole, grams, parameters, script};
use crate::Document;

section! {
    /// Repeated substrings.
    pub struct Substrings {
        /// Words of the shortest that goes.
        min_words: usize = 50,
        /// Memory for sorting, in MiB.
        memory_mib: usize = 256,
    }
}

impl Check for Substrings {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless(self.min_words >= 5, "min_words", "must be at least 5: shorter is language")
    }
}

impl Step for Substrings {
    fn parameters(&self) -> Value {
        parameters(self)
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }
}

const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

impl Whole for Substrings {
    /// The hash of each window of words.
    fn keys(&self, document: &Document) -> Vec<(u64, u32)> {
        let power = (0..self.min_words).fold(1u64, |p, _| p.wrapping_mul(BASE));
        let words = script::words(&document.text);
        let hashes: Vec<u64> = words.iter().map(|w| grams::hash(w)).collect();
        let mut out = Vec::with_capacity(hashes.len());
        let mut hash = 0u64;
        for (at, word) in hashes.iter().enumerate().take(Place::PARTS) {
            hash = hash.wrapping_mul(BASE).wrapping_add(*word);
            if at >= self.min_words {
                hash = hash.wrapping_sub(hashes[at - self.min_words].wrapping_mul(power));
            }
            if at + 1 >= self.min_words {
                out.push((splitmix64(hash), (at + 1 - self.min_words) as u32));
            }
        }
        out
    }

    fn compare(&self, places: &[Place], marks: &mut Vec<Mark>) {
        marks.extend(places[1..].iter().map(|&place| Mark { place, other: places[0] }));
    }

    /// Of each run of windows the first and the last, which is far less.
    fn gather(
        &self,
        marks: &mut dyn Iterator<Item = Result<Mark>>,
        keep: &mut dyn FnMut(Mark) -> Result<()>,
    ) -> Result<Value> {
        let mut run: Option<(Mark, Place)> = None;
        let mut passages = 0u64;
        for mark in marks {
            let mark = mark?;
            match &mut run {
                Some((_, last)) if last.0 + 1 == mark.place.0 => *last = mark.place,
                _ => {
                    if let Some((first, last)) = run.replace((mark, mark.place)) {
                        keep(Mark { place: first.place, other: last })?;
                    }
                    passages += 1;
                }
            }
        }
        if let Some((first, last)) = run {
            keep(Mark { place: first.place, other: last })?;
        }
        Ok(json!({ "repeated_passages": passages }))
    }

    fn verdict(&self, document: &Document, marks: &[Mark]) -> Outcome {
        if marks.is_empty() {
            return Outcome::Keep;
        }
        let all = document.text.as_str();
        let words = script::words(all);
        let mut text = String::with_capacity(all.len());
        let mut from = 0;
        for mark in marks {
            let (first, end) =
                (mark.place.part() as usize, mark.other.part() as usize + self.min_words);
            let start = words.get(first).map_or(all.len(), |w| offset(all, w));
            // Up to the next word, so that no heap of white space and marks is left.
            let end = words.get(end).map_or(all.len(), |w| offset(all, w));
            if start > from {
                text.push_str(&all[from..start]);
            }
            from = end.max(from);
        }
        text.push_str(&all[from..]);
        if text.trim().is_empty() {
            return Outcome::Drop("nothing of its own");
        }
        Outcome::Change(text)
    }

    fn memory(&self) -> usize {
        self.memory_mib << 20
    }
}

/// Where a part of a text begins in it.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}
