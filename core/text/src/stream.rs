//! Decoding as tokens arrive.

use athanor_store::Result;

use crate::Tokenizer;

/// Turns tokens into text one at a time. A character with bytes in several tokens
/// comes out with the last of them.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// Tokens with text that is still needed: as the left context of the next, or because incomplete.
    ids: Vec<u32>,
    /// How many of `ids` are out already.
    out: usize,
}

impl Tokenizer {
    /// Decodes one token after the other, never half a character.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(self)
    }
}

impl<'a> TextStream<'a> {
    fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), out: 0 }
    }

    /// Takes a token; returns the text that is now complete (may be empty).
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        // Some decoders drop a leading space, so new text is what a longer decoding adds.
        let old = self.tokenizer.decode(&self.ids[..self.out])?;
        let new = self.tokenizer.decode(&self.ids)?;
        // Four bytes make a character: a fifth incomplete token is not going to complete it.
        if new.ends_with('\u{FFFD}') && self.ids.len() - self.out < 5 {
            return Ok(String::new());
        }
        let text = new.get(old.len()..).unwrap_or_default().to_string();
        self.ids.drain(..self.out);
        self.out = self.ids.len();
        Ok(text)
    }

    /// What was held back at the end: the replacement character for an incomplete one.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(self) -> Result<String> {
        let old = self.tokenizer.decode(&self.ids[..self.out])?;
        let new = self.tokenizer.decode(&self.ids)?;
        Ok(new.get(old.len()..).unwrap_or_default().to_string())
    }
}
