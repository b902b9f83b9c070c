//! Symbols instead of words: tables, code dumps, menus, ornaments.
//!
//! Rae et al. 2021, "Scaling Language Models: Gopher", <https://arxiv.org/abs/2112.11446>, appendix
//! A1.1, "quality filtering": the ratio of hash and ellipsis symbols to words, and the share of words
//! with a letter in them. The latter is taken of characters here, which is the same thing in scripts
//! without spaces.

use athanor_store::{Check, Problem, section};
use serde_json::Value;

use super::{Outcome, Step, parameters, script::words};

section! {
    /// Symbols.
    pub struct Symbols {
        /// Least share of letters (of any script) and digits among characters that are not spaces.
        /// English and Chinese prose have 0.85 to 0.97.
        min_letters: f64 = 0.6,
        /// Largest number of `#` and of ellipses a word (Gopher: 0.1).
        max_symbols: f64 = 0.1,
        /// Judge by max_symbols from this many words on (Gopher keeps nothing shorter than 50; a
        /// tweet may have a few hashtags).
        from_words: usize = 50,
    }
}

impl Check for Symbols {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless((0.0..=1.0).contains(&self.min_letters), "min_letters", "must be in 0..1")?;
        Problem::unless(self.max_symbols >= 0.0, "max_symbols", "must not be negative")
    }
}

impl Step for Symbols {
    fn apply(&self, text: &str) -> Outcome {
        let (mut letters, mut all) = (0usize, 0usize);
        for c in text.chars().filter(|c| !c.is_whitespace()) {
            all += 1;
            letters += usize::from(c.is_alphanumeric());
        }
        if (letters as f64) < self.min_letters * all as f64 {
            return Outcome::Drop("few letters");
        }
        let count = words(text).len();
        if count >= self.from_words {
            let limit = self.max_symbols * count as f64;
            if text.matches('#').count() as f64 > limit {
                return Outcome::Drop("many hash signs");
            }
            if (text.matches("...").count() + text.matches('…').count()) as f64 > limit {
                return Outcome::Drop("many ellipses");
            }
        }
        Outcome::Keep
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols() {
        let apply = |t: &str| Symbols::default().apply(t);
        assert_eq!(apply("+----+----+\n| a1 | b2 |"), Outcome::Drop("few letters"));
        assert_eq!(apply("九衢塵裏一書生，多達逢時擁斾旌。"), Outcome::Keep);
        assert_eq!(apply("#love #this :)"), Outcome::Keep);
        assert_eq!(apply(&"#tag word word ".repeat(30)), Outcome::Drop("many hash signs"));
        assert_eq!(apply(&"好 好 看 的 电 影... ".repeat(30)), Outcome::Drop("many ellipses"));
    }
}
