//! Long documents in pieces, so that holding out by document means something for books.

use athanor_store::{Check, Problem, section};
use serde_json::Value;

use super::{Outcome, Step, parameters};

section! {
    /// Splitting.
    pub struct SplitLong {
        /// Split documents of more bytes than this, at paragraph ends, else at line ends, else
        /// behind sentences, else between characters.
        max_document_bytes: usize = 32_768,
    }
}

impl Check for SplitLong {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(
            self.max_document_bytes >= 256,
            "max_document_bytes",
            "must be at least 256: pieces would be no documents",
        )
    }
}

impl Step for SplitLong {
    fn apply(&self, text: &str) -> Outcome {
        if text.len() <= self.max_document_bytes {
            return Outcome::Keep;
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(self.cut(rest));
            let piece = piece.trim_matches('\n');
            if !piece.trim().is_empty() {
                pieces.push(piece.to_string());
            }
            rest = tail.trim_start_matches('\n');
        }
        Outcome::Split(pieces)
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

impl SplitLong {
    /// Where the next piece ends. Even pieces read better than a long one and a stub.
    fn cut(&self, text: &str) -> usize {
        let n = text.len().div_ceil(self.max_document_bytes);
        if n <= 1 {
            return text.len();
        }
        let mut most = (text.len() / n + self.max_document_bytes / 8).min(self.max_document_bytes);
        while !text.is_char_boundary(most) {
            most -= 1;
        }
        let window = &text[..most];
        // A cut in the first half would make a stub.
        let late = |at: Option<usize>| at.filter(|&at| at >= most / 2);
        late(window.rfind("\n\n").map(|at| at + 2))
            .or_else(|| late(window.rfind('\n').map(|at| at + 1)))
            .or_else(|| {
                let end = window.rmatch_indices(['.', '!', '?', '。', '！', '？']).next();
                late(end.map(|(at, mark)| at + mark.len()))
            })
            .unwrap_or(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_lost_but_line_ends(text in "([a-z]{0,30}|春。|\n|\n\n| ){0,200}") {
            let step = SplitLong { max_document_bytes: 256 };
            if let Outcome::Split(pieces) = step.apply(&text) {
                let solid = |t: &str| t.split_whitespace().collect::<String>();
                prop_assert_eq!(solid(&pieces.concat()), solid(&text));
                prop_assert!(pieces.iter().all(|p| p.len() <= 256 && !p.trim().is_empty()));
            } else {
                prop_assert!(text.len() <= 256);
            }
        }
    }
}
