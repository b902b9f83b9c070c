//! HTML's character references in text that was taken from web pages without being unescaped.

use athanor_store::{Check, section};
use serde_json::Value;

use super::{Outcome, Step, parameters};

section! {
    /// HTML references.
    pub struct Entities {
        /// Unescape again what was escaped more than once (`&amp;amp;`), at most this many times.
        rounds: usize = 2,
    }
}

impl Check for Entities {}

impl Step for Entities {
    fn apply(&self, text: &str) -> Outcome {
        let mut out = text.to_string();
        for _ in 0..self.rounds {
            if !out.contains('&') {
                break;
            }
            let next = html_escape::decode_html_entities(&out).into_owned();
            if next == out {
                break;
            }
            out = next;
        }
        if out == text { Outcome::Keep } else { Outcome::Change(out) }
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescapes() {
        let apply = |t| Entities::default().apply(t);
        let text = "last night &amp; the love &lt;3 caf&eacute; &#x6625;&#39;s &amp;quot;";
        assert_eq!(apply(text), Outcome::Change("last night & the love <3 café 春's \"".into()));
        assert_eq!(apply("AT&T & Q&A; R&D"), Outcome::Keep);
    }
}
