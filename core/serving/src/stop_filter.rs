//! Text as it is written, cut at stop strings.

use athanor_store::Result;
use athanor_text::{TextStream, Tokenizer};

/// Turns tokens into text that may be shown: never half a character, never a part of a stop string.
pub struct StopFilter<'a> {
    stream: Option<TextStream<'a>>,
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl<'a> StopFilter<'a> {
    /// Text of this tokenizer's tokens that ends before the first of `stops`.
    pub fn new(tokenizer: &'a Tokenizer, stops: &[String]) -> Self {
        let stops = stops.iter().filter(|s| !s.is_empty()).cloned().collect();
        Self { stream: Some(tokenizer.stream()), stops, held: String::new(), stopped: false }
    }

    /// Whether the text has ended at a stop string.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Takes a token; the text that may be shown now.
    ///
    /// # Errors
    /// Those of decoding.
    pub fn push(&mut self, token: u32) -> Result<String> {
        match &mut self.stream {
            Some(stream) if !self.stopped => {
                let text = stream.push(token)?;
                Ok(self.cut(&text))
            }
            _ => Ok(String::new()),
        }
    }

    /// The text that was held back.
    ///
    /// # Errors
    /// Those of decoding.
    pub fn finish(&mut self) -> Result<String> {
        let Some(stream) = self.stream.take().filter(|_| !self.stopped) else {
            return Ok(String::new());
        };
        let rest = stream.finish()?;
        let mut text = self.cut(&rest);
        text.push_str(&std::mem::take(&mut self.held));
        Ok(text)
    }

    fn cut(&mut self, text: &str) -> String {
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|s| self.held.find(s.as_str())).min() {
            self.stopped = true;
            let out = self.held[..at].to_owned();
            self.held.clear();
            return out;
        }
        // The longest end that may become a stop string stays back.
        let keep = self
            .stops
            .iter()
            .flat_map(|s| s.char_indices().skip(1).map(move |(i, _)| &s[..i]))
            .filter(|head| self.held.ends_with(head))
            .map(str::len)
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_strings() {
        let stops = ["\n\n".to_owned(), "结束了".to_owned()];
        let feed = |parts: &[&str]| {
            let mut c = StopFilter {
                stream: None,
                stops: stops.to_vec(),
                held: String::new(),
                stopped: false,
            };
            let shown: Vec<String> = parts.iter().map(|p| c.cut(p)).collect();
            (shown, c.held, c.stopped)
        };
        assert_eq!(feed(&["a\n", "b"]), (vec!["a".into(), "\nb".into()], String::new(), false));
        assert_eq!(feed(&["a\n", "\nb"]), (vec!["a".into(), String::new()], String::new(), true));
        let (shown, held, stopped) = feed(&["好结", "束", "。"]);
        assert_eq!((shown.concat().as_str(), held.as_str(), stopped), ("好结束。", "", false));
        assert!(feed(&["好结束", "了。"]).2);
    }
}
