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
//! Memory: 8 bytes a document for the components, and `memory_mib` for sorting; bands wait on disk, 224 bytes a
//! document.

use athanor_data::splitmix64;
use athanor_store::{Check, Error, Problem, Result, section};
use serde_json::{Value, json};

use super::{Mark, Outcome, Place, Step, Whole, grams, parameters, script};
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
    fn parameters(&self) -> Value {
        parameters(self)
    }

    fn whole(&self) -> Option<&dyn Whole> {
        Some(self)
    }
}

impl Whole for MinHash {
    fn keys(&self, document: &Document) -> Vec<(u64, u32)> {
        self.keys_of(&document.text).into_iter().map(|key| (key, 0)).collect()
    }

    fn compare(&self, places: &[Place], marks: &mut Vec<Mark>) {
        marks.extend(places[1..].iter().map(|&place| Mark { place, other: places[0] }));
    }

    fn gather(
        &self,
        marks: &mut dyn Iterator<Item = Result<Mark>>,
        keep: &mut dyn FnMut(Mark) -> Result<()>,
    ) -> Result<Value> {
        // As far as documents have pairs.
        let mut sets = Sets::default();
        for mark in marks {
            let mark = mark?;
            sets.join(mark.other.document(), mark.place.document())?;
        }
        let mut sizes = vec![0u32; sets.0.len()];
        let (mut clusters, mut inside, mut largest) = (0u64, 0u64, 0u32);
        for document in 0..sets.0.len() {
            let first = sets.first(document);
            if first != document {
                // The first one comes first, so its own count is there.
                if sizes[first] == 0 {
                    (clusters, inside, sizes[first]) = (clusters + 1, inside + 1, 1);
                }
                inside += 1;
                sizes[first] += 1;
                largest = largest.max(sizes[first]);
                let place = |n: usize| Place::new(n as u64, 0);
                keep(Mark { place: place(document), other: place(first) })?;
            }
        }
        Ok(json!({
            "clusters": clusters,
            "in_clusters": inside,
            "largest": largest,
            "curve": (0..=20).map(|n| {
                let s = f64::from(n) / 20.0;
                json!([s, self.chance(s)])
            }).collect::<Vec<_>>(),
        }))
    }

    fn verdict(&self, _: &Document, marks: &[Mark]) -> Outcome {
        if marks.is_empty() { Outcome::Keep } else { Outcome::Drop("near-duplicate") }
    }

    fn memory(&self) -> usize {
        self.memory_mib << 20
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
    fn keys_of(&self, text: &str) -> Vec<u64> {
        let permutations = self.permutations();
        let mut least = vec![u32::MAX; permutations.len()];
        for shingle in shingles(text, self.shingle_words) {
            let x = shingle >> 32;
            for (least, &(a, b)) in least.iter_mut().zip(&permutations) {
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
    let normal = script::normal(text);
    let hashes: Vec<u64> = script::words(&normal).into_iter().map(grams::hash).collect();
    let join = |w: &[u64]| w.iter().fold(w.len() as u64, |h, &w| splitmix64(h.rotate_left(7) ^ w));
    let mut out: Vec<u64> = hashes.windows(words.min(hashes.len()).max(1)).map(join).collect();
    out.sort_unstable();
    out.dedup();
    out
}

/// Disjoint sets of documents; each is named by its first one.
#[derive(Default)]
struct Sets(Vec<u32>);

impl Sets {
    fn first(&mut self, mut of: usize) -> usize {
        while self.0[of] as usize != of {
            self.0[of] = self.0[self.0[of] as usize];
            of = self.0[of] as usize;
        }
        of
    }

    fn join(&mut self, a: u64, b: u64) -> Result<()> {
        let last = u32::try_from(a.max(b)).map_err(|_| {
            Error::failed("more than 4,294,967,295 documents cannot be compared at once")
                .hint("make several corpora of the sources")
        })?;
        let known = self.0.len() as u32;
        self.0.extend(known..=last.max(known.saturating_sub(1)));
        let (a, b) = (self.first(a as usize), self.first(b as usize));
        let (low, high) = (a.min(b), a.max(b));
        self.0[high] = low as u32;
        Ok(())
    }
}
