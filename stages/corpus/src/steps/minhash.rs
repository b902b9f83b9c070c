//! Near-duplicates: MinHash signatures, banded (Broder 1997; Leskovec, Rajaraman and Ullman 2014,
//! chapter 3), and connected components of the documents that share a band. Of each component the
//! first document is kept. Defaults are those of datatrove and FineWeb: 5-word shingles, 14 bands of 8:
//! two documents whose sets of shingles have the Jaccard similarity s are found with probability
//! 1 − (1 − s⁸)¹⁴.
//!
//! Shingles are of normalised words (lower case, digits as 0, no punctuation, no accents); in Chinese
//! text an ideograph is a word. Each of the permutations is h(x) = (a·x + b mod 2⁶⁴) div 2³² over 32-bit
//! hashes of shingles (Dietzfelbinger 1996), where datatrove takes a prime modulus.
//!
//! Memory: 8 bytes a document for the components, and `memory_mib` for sorting; bands wait on disk.

use std::{collections::HashMap, path::Path};

use athanor_data::splitmix64;
use athanor_store::{Check, Problem, Result, section};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{Outcome, Step, Verdict, Verdicts, Whole, external::Pairs, grams, parameters, units};
use crate::Document;

section! {
    /// Near-duplicates.
    pub struct MinHash {
        /// Words of a shingle.
        shingle_words: usize = 5,
        /// Bands: documents that agree in one of them are candidates.
        bands: usize = 14,
        /// Hashes of a band.
        rows: usize = 8,
        /// Another seed gives other permutations.
        seed: u64 = 1,
        /// Memory for sorting, in MiB.
        memory_mib: usize = 256,
    }
}

impl Check for MinHash {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless(self.shingle_words > 0, "shingle_words", "must be at least 1")?;
        Problem::unless((1..=1000).contains(&self.bands), "bands", "must be in 1..1000")?;
        Problem::unless((1..=1000).contains(&self.rows), "rows", "must be in 1..1000")
    }
}

impl Step for MinHash {
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

/// Documents whose signatures are made at once.
const BATCH: usize = 2048;
const BATCH_BYTES: usize = 16 << 20;

impl Whole for MinHash {
    fn decide(
        &self,
        documents: &mut dyn Iterator<Item = Result<Document>>,
        scratch: &Path,
    ) -> Result<Verdicts> {
        let permutations = self.permutations();
        let mut bands = Vec::new();
        for band in 0..self.bands {
            bands.push(Pairs::create(scratch, &format!("band-{band}"))?);
        }
        let mut count = 0u64;
        loop {
            let mut batch = Vec::new();
            let mut bytes = 0;
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Some(document) = documents.next().transpose()? else { break };
                bytes += document.text.len();
                batch.push(document.text);
            }
            if batch.is_empty() {
                break;
            }
            let keys: Vec<Vec<u64>> =
                batch.par_iter().map(|t| self.keys(t, &permutations)).collect();
            for keys in keys {
                for (band, key) in bands.iter_mut().zip(keys) {
                    band.add(key, count)?;
                }
                count += 1;
            }
        }
        let mut sets = Sets::new(count);
        for band in bands {
            band.groups(self.memory_mib << 20, |group| {
                for pair in &group[1..] {
                    sets.join(group[0].1, pair.1);
                }
                Ok(())
            })?;
        }
        let mut sizes: HashMap<u64, u64> = HashMap::new();
        for document in 0..count {
            let first = sets.first(document);
            if first != document {
                *sizes.entry(first).or_insert(1) += 1;
            }
        }
        let mut number = 0;
        let notes = json!({
            "clusters": sizes.len(),
            "in_clusters": sizes.values().sum::<u64>(),
            "largest": sizes.values().max().unwrap_or(&0),
            "curve": (0..=20).map(|n| {
                let s = f64::from(n) / 20.0;
                json!([s, self.chance(s)])
            }).collect::<Vec<_>>(),
        });
        let each = Box::new(move |_: &Document| {
            let first = sets.first(number);
            number += 1;
            if first + 1 == number { Verdict::Keep } else { Verdict::Drop("near-duplicate", first) }
        });
        Ok(Verdicts { each, notes })
    }
}

impl MinHash {
    /// The chance to find two documents of Jaccard similarity `s`.
    pub fn chance(&self, s: f64) -> f64 {
        1.0 - (1.0 - s.powi(self.rows as i32)).powi(self.bands as i32)
    }

    fn permutations(&self) -> Vec<(u64, u64)> {
        let number = |n: usize| splitmix64(splitmix64(self.seed).wrapping_add(n as u64));
        (0..self.bands * self.rows).map(|n| (number(2 * n) | 1, number(2 * n + 1))).collect()
    }

    /// The key of each band.
    fn keys(&self, text: &str, permutations: &[(u64, u64)]) -> Vec<u64> {
        let shingles = shingles(text, self.shingle_words);
        let mut least = vec![u32::MAX; permutations.len()];
        for shingle in shingles {
            let x = shingle >> 32;
            for (least, &(a, b)) in least.iter_mut().zip(permutations) {
                let hash = (a.wrapping_mul(x).wrapping_add(b) >> 32) as u32;
                *least = (*least).min(hash);
            }
        }
        let key = |(band, rows): (usize, &[u32])| {
            rows.iter().fold(splitmix64(band as u64), |key, &row| splitmix64(key ^ u64::from(row)))
        };
        least.chunks(self.rows).enumerate().map(key).collect()
    }
}

/// The hashes of a text's shingles, each once. A text of fewer words is one shingle.
pub fn shingles(text: &str, words: usize) -> Vec<u64> {
    let normal = units::normal(text);
    let hashes: Vec<u64> = units::words(&normal).into_iter().map(grams::hash).collect();
    let join = |w: &[u64]| w.iter().fold(w.len() as u64, |h, &w| splitmix64(h.rotate_left(7) ^ w));
    let mut out: Vec<u64> = hashes.windows(words.min(hashes.len()).max(1)).map(join).collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// Disjoint sets of documents; each is named by its first one.
struct Sets(Vec<u64>);

impl Sets {
    fn new(count: u64) -> Self {
        Self((0..count).collect())
    }

    fn first(&mut self, mut of: u64) -> u64 {
        while self.0[of as usize] != of {
            let above = self.0[self.0[of as usize] as usize];
            self.0[of as usize] = above;
            of = above;
        }
        of
    }

    fn join(&mut self, a: u64, b: u64) {
        let (a, b) = (self.first(a), self.first(b));
        let (low, high) = (a.min(b), a.max(b));
        self.0[high as usize] = low;
    }
}
