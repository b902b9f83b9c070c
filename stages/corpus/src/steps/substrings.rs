//! Exact repeated substrings: what stands word for word in another place of the corpus, 50 words long
//! and more, goes there (Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better",
//! <https://arxiv.org/abs/2107.06499>). The first place keeps it.
//!
//! Lee et al. sort all suffixes. A substring of at least n words is repeated if and only if all its
//! windows of n words are, so it is enough to sort the hashes (64 bits) of all windows, which needs no
//! memory for the whole text: 16 bytes on disk for each word, and `memory_mib` to sort. In Chinese text
//! an ideograph is a word. Words are compared as they stand, white space is not.

use std::path::Path;

use athanor_data::splitmix64;
use athanor_store::{Check, Problem, Result, section};
use serde_json::{Value, json};

use super::{Outcome, Step, Verdict, Verdicts, Whole, external::Pairs, grams, parameters, units};
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
    fn apply(&self, _: &str) -> Outcome {
        Outcome::Keep
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }
}

/// Bits of a place that say which word of its document.
const WORD_BITS: u32 = 24;
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

impl Whole for Substrings {
    fn decide(
        &self,
        documents: &mut dyn Iterator<Item = Result<Document>>,
        scratch: &Path,
    ) -> Result<Verdicts> {
        let memory = self.memory_mib << 20;
        let mut windows = Pairs::create(scratch, "windows")?;
        let power = (0..self.min_words).fold(1u64, |p, _| p.wrapping_mul(BASE));
        for (number, document) in documents.enumerate() {
            let document = document?;
            let words = units::words(&document.text);
            let hashes: Vec<u64> = words.iter().map(|w| grams::hash(w)).collect();
            let mut hash = 0u64;
            for (at, word) in hashes.iter().enumerate().take(1 << WORD_BITS) {
                hash = hash.wrapping_mul(BASE).wrapping_add(*word);
                if at >= self.min_words {
                    hash = hash.wrapping_sub(hashes[at - self.min_words].wrapping_mul(power));
                }
                if at + 1 >= self.min_words {
                    let place = (number as u64) << WORD_BITS | (at + 1 - self.min_words) as u64;
                    windows.add(splitmix64(hash), place)?;
                }
            }
        }
        // Places of windows that came before, keyed by their document so as to be sorted again.
        let mut repeated: Vec<u64> = Vec::new();
        let mut last: Vec<(u64, u64)> = Vec::new();
        windows.groups(memory, |group| {
            repeated.extend(group[1..].iter().map(|p| p.1));
            Ok(())
        })?;
        repeated.sort_unstable();
        // Runs of windows: first and last place, which is far less than the windows are.
        for place in repeated {
            match last.last_mut() {
                Some(run) if run.1 + 1 == place => run.1 = place,
                _ => last.push((place, place)),
            }
        }
        let length = self.min_words;
        let notes = json!({ "repeated_passages": last.len() });
        let mut runs = last.into_iter().peekable();
        let mut number = 0u64;
        let each = Box::new(move |document: &Document| {
            let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
            let mut words: Option<Vec<&str>> = None;
            while let Some(&(from, to)) = runs.peek() {
                if from >> WORD_BITS != number {
                    break;
                }
                runs.next();
                let words = words.get_or_insert_with(|| units::words(&document.text));
                let mask = (1 << WORD_BITS) - 1;
                let (first, end) = ((from & mask) as usize, (to & mask) as usize + length);
                let start = offset(&document.text, words[first]);
                // Up to the next word, so that no heap of white space and marks is left.
                let end = words.get(end).map_or(document.text.len(), |w| offset(&document.text, w));
                match ranges.last_mut() {
                    Some(last) if start <= last.end => last.end = end.max(last.end),
                    _ => ranges.push(start..end),
                }
            }
            number += 1;
            if ranges.is_empty() { Verdict::Keep } else { Verdict::Cut(ranges) }
        });
        Ok(Verdicts { each, notes })
    }
}

/// Where a part of a text begins in it.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}
