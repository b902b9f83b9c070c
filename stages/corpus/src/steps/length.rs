//! Too short and too long.

use athanor_store::{Check, Problem, section};
use serde_json::Value;

use super::{Outcome, Step, parameters};

section! {
    /// Lengths, in characters that are not white space.
    pub struct Length {
        /// Drop documents with fewer characters. Small by default: ratings and poems are short.
        min_characters: usize = 10,
        /// Drop documents with more characters; 0: none is too long.
        max_characters: usize = 0,
    }
}

impl Check for Length {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(
            self.max_characters == 0 || self.max_characters >= self.min_characters,
            "max_characters",
            "is below min_characters: nothing would be kept",
        )
    }
}

impl Step for Length {
    fn apply(&self, text: &str) -> Outcome {
        let n = text.chars().filter(|c| !c.is_whitespace()).count();
        if n == 0 {
            Outcome::Drop("empty")
        } else if n < self.min_characters {
            Outcome::Drop("too short")
        } else if self.max_characters > 0 && n > self.max_characters {
            Outcome::Drop("too long")
        } else {
            Outcome::Keep
        }
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let step = Length { min_characters: 3, max_characters: 5 };
        for (text, want) in [
            (" \n", Outcome::Drop("empty")),
            ("春 風", Outcome::Drop("too short")),
            ("春 風 來", Outcome::Keep),
            ("abcdef", Outcome::Drop("too long")),
        ] {
            assert_eq!(step.apply(text), want, "{text:?}");
        }
    }
}
