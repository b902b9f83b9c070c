//! Line ends, control characters, broken characters, heaps of empty lines.

use athanor_store::{Check, Problem, section};
use serde_json::Value;

use super::{Outcome, Step, parameters};

section! {
    /// Characters.
    pub struct Control {
        /// Drop a document if more than this share of its characters is U+FFFD, which stands for
        /// bytes that were not in the encoding that they were read in.
        max_broken: f64 = 0.005,
        /// Keep at most this many empty lines in a row.
        max_empty_lines: usize = 2,
    }
}

impl Check for Control {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless((0.0..=1.0).contains(&self.max_broken), "max_broken", "must be in 0..1")
    }
}

impl Step for Control {
    fn apply(&self, text: &str) -> Outcome {
        let broken = text.chars().filter(|&c| c == '\u{FFFD}').count();
        if broken as f64 > self.max_broken * text.chars().count() as f64 {
            return Outcome::Drop("broken characters");
        }
        let mut out = String::with_capacity(text.len());
        let mut empty = 0;
        let unified = text.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}'], "\n");
        for line in unified.replace('\u{2029}', "\n\n").split('\n') {
            let start = out.len();
            out.extend(line.chars().filter(|&c| !unwanted(c)));
            let end = out.trim_end_matches([' ', '\t', '\u{3000}']).len();
            out.truncate(end.max(start));
            if out.len() == start {
                empty += 1;
                if empty > self.max_empty_lines {
                    continue;
                }
            } else {
                empty = 0;
            }
            out.push('\n');
        }
        let trimmed = out.trim_matches('\n');
        if trimmed == text { Outcome::Keep } else { Outcome::Change(trimmed.into()) }
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

/// Controls except tabs; byte order marks, soft hyphens and Unicode's noncharacters. Joiners stay:
/// emoji and Indic scripts need them.
fn unwanted(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{FEFF}' | '\u{AD}' | '\u{200B}' | '\u{FDD0}'..='\u{FDEF}')
        || (c as u32) & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_lines() {
        let apply = |t| Control::default().apply(t);
        let text = "\u{FEFF}A line. \r\n\tB\u{0}\u{8}\r\n\n\n\n\n\n春\u{3000}\n\u{1A}";
        assert_eq!(apply(text), Outcome::Change("A line.\n\tB\n\n\n春".into()));
        assert_eq!(apply("Fine.\n\n  Verse\n👩‍🚀"), Outcome::Keep);
        assert_eq!(apply("ab\u{FFFD}"), Outcome::Drop("broken characters"));
    }
}
