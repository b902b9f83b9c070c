//! Texts that repeat themselves: menus, templates, generated spam.
//!
//! Rae et al. 2021, "Scaling Language Models: Gopher", <https://arxiv.org/abs/2112.11446>, appendix
//! A1.1, "repetition removal", thresholds of table A1. Duplicate n-grams are counted as
//! `datatrove` counts them: without overlap, each character once. In text without spaces an
//! ideograph stands for half a word, so n-grams have twice as many.

use std::collections::{HashMap, HashSet};

use athanor_store::{Check, Problem, section};
use serde_json::Value;

use super::{
    Outcome, Step, parameters,
    units::{is_ideograph, words},
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
        let sizes: Vec<usize> = words.iter().map(|w| w.chars().count()).collect();
        let all = sizes.iter().sum::<usize>() as f64;
        for (n, &most) in (2..).zip(&self.top_ngrams) {
            if top(&words, &sizes, n * unit) as f64 > most * all {
                return Outcome::Drop("a commonest n-gram");
            }
        }
        for (n, &most) in (5..).zip(&self.duplicate_ngrams) {
            if repeated(&words, &sizes, n * unit) as f64 > most * all {
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

/// Characters in the commonest n-gram. One that comes once is none; overlaps count once each.
fn top(words: &[&str], sizes: &[usize], n: usize) -> usize {
    let mut counts: HashMap<&[&str], (usize, usize)> = HashMap::new();
    for (i, gram) in words.windows(n).enumerate() {
        let entry = counts.entry(gram).or_insert((0, i));
        entry.0 += 1;
    }
    (counts.into_values().filter(|c| c.0 > 1))
        .map(|(count, i)| count * sizes[i..i + n].iter().sum::<usize>())
        .max()
        .unwrap_or(0)
}

/// Characters in n-grams that came before.
fn repeated(words: &[&str], sizes: &[usize], n: usize) -> usize {
    let mut seen: HashSet<&[&str]> = HashSet::new();
    let mut size = 0;
    let mut i = 0;
    while i + n <= words.len() {
        if seen.insert(&words[i..i + n]) {
            i += 1;
        } else {
            size += sizes[i..i + n].iter().sum::<usize>();
            i += n;
        }
    }
    size
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
        let play = "HAMLET.\nTo be {}\nHORATIO.\nMy lord {}\n".repeat(1);
        assert_eq!(apply(&play), Outcome::Keep);
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
