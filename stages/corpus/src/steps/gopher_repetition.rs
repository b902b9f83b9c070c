//! Gopher's repetition rules: Rae et al. 2021, <https://arxiv.org/abs/2112.11446>, table A1, as
//! datatrove 0.10.1 has them (pipeline/filters/gopher_repetition_filter.py). The step `repetition` has
//! the same ideas with the care that short texts, plays and poems need.
//!
//! In Chinese text an ideograph is half a word, so n-grams have twice as many.

use std::collections::HashSet;

use athanor_store::{Check, Problem, section};

use super::{
    ByScript, Outcome, english,
    grams::{Fast, Grams},
    script::{self, Script},
};

section! {
    /// Gopher's repetition rules. Each threshold is the largest share that is kept.
    pub struct GopherRepetition {
        /// Lines that came before, among lines.
        duplicate_lines: f64 = 0.30,
        /// Paragraphs that came before, among paragraphs.
        duplicate_paragraphs: f64 = 0.30,
        /// Characters in lines that came before, among the text's.
        duplicate_line_characters: f64 = 0.20,
        /// Characters in paragraphs that came before.
        duplicate_paragraph_characters: f64 = 0.20,
        /// Characters in the commonest 2-, 3- and 4-gram.
        top_ngrams: Vec<f64> = vec![0.20, 0.18, 0.16],
        /// Characters in 5- to 10-grams that came before.
        duplicate_ngrams: Vec<f64> = vec![0.15, 0.14, 0.13, 0.12, 0.11, 0.10],
        /// Whose words: "auto" by the text's script, "english" or "chinese" for all.
        rules: String = "auto".to_string(),
    }
}

impl Check for GopherRepetition {
    fn check(&self) -> Result<(), Problem> {
        script::check_rules(&self.rules)?;
        Problem::unless(self.top_ngrams.len() == 3, "top_ngrams", "needs 3 thresholds")?;
        Problem::unless(self.duplicate_ngrams.len() == 6, "duplicate_ngrams", "needs 6 thresholds")
    }
}

impl ByScript for GopherRepetition {
    fn rules(&self) -> &str {
        &self.rules
    }

    fn judge_as(&self, text: &str, script: Script) -> Outcome {
        self.reason(text, script).map_or(Outcome::Keep, Outcome::Drop)
    }
}

impl GopherRepetition {
    fn reason(&self, text: &str, script: Script) -> Option<&'static str> {
        if text.is_empty() {
            return Some("empty");
        }
        let all = text.chars().count() as f64;
        let paragraphs = split_at_breaks(text.trim_matches(english::is_space), 2);
        let (count, characters) = duplicates(&paragraphs);
        if count as f64 / paragraphs.len() as f64 > self.duplicate_paragraphs {
            return Some("duplicate paragraphs");
        }
        if characters as f64 / all > self.duplicate_paragraph_characters {
            return Some("characters in duplicate paragraphs");
        }
        let lines = split_at_breaks(text, 1);
        let (count, characters) = duplicates(&lines);
        if count as f64 / lines.len() as f64 > self.duplicate_lines {
            return Some("duplicate lines");
        }
        if characters as f64 / all > self.duplicate_line_characters {
            return Some("characters in duplicate lines");
        }
        let (words, unit) = match script {
            Script::Spaced => (english::words(text), 1),
            Script::Chinese => (script::words(text), 2),
        };
        let grams = Grams::new(&words);
        // datatrove joins these n-grams by spaces, which Chinese has not.
        let spaces = |n: usize| if unit == 1 { n - 1 } else { 0 };
        for (n, &most) in (2..).map(|n| n * unit).zip(&self.top_ngrams) {
            let Some((characters, times)) = grams.commonest(n) else { continue };
            if ((characters + spaces(n)) * times) as f64 / all > most {
                return Some("a commonest n-gram");
            }
        }
        for (n, &most) in (5..).map(|n| n * unit).zip(&self.duplicate_ngrams) {
            if grams.repeated(n) as f64 / all > most {
                return Some("duplicate n-grams");
            }
        }
        None
    }
}

/// Python's `re.split("\n{least,}", text)`.
fn split_at_breaks(text: &str, least: usize) -> Vec<&str> {
    let mut out = Vec::new();
    let (bytes, mut start, mut at) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|&&b| b == b'\n').count();
        if run >= least {
            out.push(&text[start..at]);
            start = at + run;
        }
        at += run.max(1);
    }
    out.push(&text[start..]);
    out
}

/// Parts that came before, and their characters.
pub(super) fn duplicates(parts: &[&str]) -> (usize, usize) {
    let mut seen: HashSet<&str, Fast> = HashSet::default();
    let mut found = (0, 0);
    for part in parts {
        if !seen.insert(part) {
            found.0 += 1;
            found.1 += part.chars().count();
        }
    }
    found
}
