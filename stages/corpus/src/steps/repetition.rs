//! Texts that repeat themselves: menus, templates, generated spam.
//!
//! Rae et al. 2021, "Scaling Language Models: Gopher", <https://arxiv.org/abs/2112.11446>, appendix
//! A1.1, "repetition removal", thresholds of table A1. Duplicate n-grams are counted as
//! `datatrove` counts them: without overlap, each character once. In text without spaces an
//! ideograph stands for half a word, so n-grams have twice as many.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use athanor_data::splitmix64;
use athanor_store::{Check, Problem, section};
use serde_json::Value;

use super::{
    Outcome, Step, parameters,
    script::{is_ideograph, words},
};

section! {
    /// Repetition. Each threshold is the largest share that is kept.
    pub struct Repetition {
        /// Lines that came before, among lines (Gopher: 0.30). Lines of one or two words are left
        /// out: plays have their speakers' names there.
        duplicate_lines: f64 = 0.30,
        /// Paragraphs that came before, among paragraphs (Gopher: 0.30); short ones left out, too.
        duplicate_paragraphs: f64 = 0.30,
        /// Characters in lines that came before (Gopher: 0.20).
        duplicate_line_characters: f64 = 0.20,
        /// Characters in paragraphs that came before (Gopher: 0.20).
        duplicate_paragraph_characters: f64 = 0.20,
        /// Characters in the commonest 2-, 3- and 4-gram (Gopher: 0.20, 0.18, 0.16).
        top_ngrams: Vec<f64> = vec![0.20, 0.18, 0.16],
        /// Characters in 5- to 10-grams that came before (Gopher: 0.15, 0.14, … 0.10).
        duplicate_ngrams: Vec<f64> = vec![0.15, 0.14, 0.13, 0.12, 0.11, 0.10],
        /// Judge n-grams from this many words on: in a tweet, "so so so good" is no spam.
        from_words: usize = 50,
    }
}

impl Check for Repetition {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(self.top_ngrams.len() == 3, "top_ngrams", "needs 3 thresholds")?;
        Problem::unless(self.duplicate_ngrams.len() == 6, "duplicate_ngrams", "needs 6 thresholds")
    }
}

/// Lines and paragraphs of fewer words are not compared.
const MIN_WORDS: usize = 3;

impl Step for Repetition {
    fn apply(&self, text: &str) -> Outcome {
        let (count, size) = duplicates(text.split('\n'));
        if count > self.duplicate_lines || size > self.duplicate_line_characters {
            return Outcome::Drop("duplicate lines");
        }
        let (count, size) = duplicates(text.split("\n\n"));
        if count > self.duplicate_paragraphs || size > self.duplicate_paragraph_characters {
            return Outcome::Drop("duplicate paragraphs");
        }
        let words = words(text);
        if words.len() < self.from_words {
            return Outcome::Keep;
        }
        let ideographs = words.iter().filter(|w| w.starts_with(is_ideograph)).count();
        let unit = if 2 * ideographs > words.len() { 2 } else { 1 };
        let grams = Grams::new(&words);
        let all = grams.characters() as f64;
        for (n, &most) in (2..).zip(&self.top_ngrams) {
            if grams.top(n * unit) as f64 > most * all {
                return Outcome::Drop("a commonest n-gram");
            }
        }
        for (n, &most) in (5..).zip(&self.duplicate_ngrams) {
            if grams.repeated(n * unit) as f64 > most * all {
                return Outcome::Drop("duplicate n-grams");
            }
        }
        Outcome::Keep
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

/// Shares of parts that came before: of the parts, and of their characters.
fn duplicates<'a>(parts: impl Iterator<Item = &'a str>) -> (f64, f64) {
    let mut seen = HashSet::new();
    let (mut count, mut all, mut size, mut all_size) = (0usize, 0usize, 0usize, 0usize);
    for part in parts.map(str::trim).filter(|p| !p.is_empty()) {
        all_size += part.len();
        if words(part).len() < MIN_WORDS {
            continue;
        }
        all += 1;
        if !seen.insert(part) {
            count += 1;
            size += part.len();
        }
    }
    (count as f64 / all.max(1) as f64, size as f64 / all_size.max(1) as f64)
}

/// A text's n-grams as 64-bit hashes: differences of prefix hashes (Karp and Rabin 1987). Two
/// different n-grams of a text have the same one with a chance of about 2⁻⁶⁴.
struct Grams {
    /// Hash of the words before each place.
    prefix: Vec<u64>,
    /// Characters before each place.
    sizes: Vec<usize>,
}

/// Odd, so that powers of it keep all 64 bits.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

impl Grams {
    fn new(words: &[&str]) -> Self {
        let (mut prefix, mut sizes) = (vec![0u64], vec![0]);
        let (mut hash, mut size) = (0u64, 0);
        let mut ids: HashMap<&str, u64> = HashMap::new();
        for word in words {
            let next = ids.len() as u64;
            let id = *ids.entry(word).or_insert(next);
            hash = hash.wrapping_mul(BASE).wrapping_add(splitmix64(id));
            size += word.chars().count();
            prefix.push(hash);
            sizes.push(size);
        }
        Self { prefix, sizes }
    }

    /// Characters of all words.
    fn characters(&self) -> usize {
        self.sizes.last().copied().unwrap_or(0)
    }

    /// The n-grams in order: hash and number of characters.
    fn of(&self, n: usize) -> impl Iterator<Item = (u64, usize)> + '_ {
        let power = (0..n).fold(1u64, |power, _| power.wrapping_mul(BASE));
        let ends = self.prefix.iter().zip(&self.sizes).skip(n);
        self.prefix.iter().zip(&self.sizes).zip(ends).map(move |((h, s), (end, end_size))| {
            (splitmix64(end.wrapping_sub(h.wrapping_mul(power))), end_size - s)
        })
    }

    /// Characters in the commonest n-gram. One that comes once is none; overlaps count once each.
    fn top(&self, n: usize) -> usize {
        let mut counts: HashMap<u64, (usize, usize), Hashed> = HashMap::default();
        for (hash, size) in self.of(n) {
            counts.entry(hash).or_insert((0, size)).0 += 1;
        }
        counts.into_values().filter(|c| c.0 > 1).map(|(n, size)| n * size).max().unwrap_or(0)
    }

    /// Characters in n-grams that came before.
    fn repeated(&self, n: usize) -> usize {
        let mut seen: HashSet<u64, Hashed> = HashSet::default();
        let mut size = 0;
        let mut skip = 0;
        for (hash, characters) in self.of(n) {
            if skip > 0 {
                skip -= 1;
            } else if !seen.insert(hash) {
                size += characters;
                skip = n - 1;
            }
        }
        size
    }
}

/// For keys that are hashes already.
type Hashed = BuildHasherDefault<Same>;

#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |h, &b| splitmix64(h ^ u64::from(b)));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats() {
        let apply = |t: &str| Repetition::default().apply(t);
        let menu = "Home page of us\nContact us here now\n".repeat(4);
        assert_eq!(apply(&menu), Outcome::Drop("duplicate lines"));
        let verse: Vec<String> = (0..60).map(|i| format!("word{i}")).collect();
        assert_eq!(apply(&verse.join(" ")), Outcome::Keep);
        let buy = format!("{} {}", verse[..40].join(" "), "buy now ".repeat(12));
        assert!(matches!(apply(&buy), Outcome::Drop(_)));
        let copied = format!("{0} but {0}", verse.join(" "));
        assert_eq!(apply(&copied), Outcome::Drop("duplicate n-grams"));
        let line = |w: &String| format!("HAMLET.\nTo be {w} my lord\n");
        let play: String = verse[..8].iter().map(line).collect();
        assert_eq!(apply(&play), Outcome::Keep, "speakers' names are no duplicate lines");
    }

    #[test]
    fn chinese() {
        let apply = |t: &str| Repetition::default().apply(t);
        let spam = "加我微信领红包，".repeat(20);
        assert!(matches!(apply(&spam), Outcome::Drop(_)));
        // Bai Juyi, with its refrains.
        let poem = "漢皇重色思傾國，御宇多年求不得。\n楊家有女初長成，養在深閨人未識。\n天生麗質難自棄，一朝選在君王側。\n回眸一笑百媚生，六宮粉黛無顏色。";
        assert_eq!(apply(poem), Outcome::Keep);
    }
}
