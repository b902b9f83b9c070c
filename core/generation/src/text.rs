//! Text in, text out: prompts through the tokenizer and, for chat models, the chat template.

use athanor_models::Model;
use athanor_store::Result;
use athanor_text::{ChatTemplate, Message, SpecialTokens, Tokenizer, encode_prompt};

use crate::{Sampling, generate};

/// A model folder ready to write: the model, its tokenizer and, if it has one, its chat template.
pub struct Writer {
    /// The model.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its chat template; plain text without one.
    pub template: Option<ChatTemplate>,
}

impl Writer {
    /// Token ids that ask for the next words: a user's message under the template, or plain text
    /// after the token that begins a document.
    ///
    /// # Errors
    /// Those of the template and the tokenizer.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>> {
        match &self.template {
            Some(template) => encode_prompt(&self.tokenizer, template, &[Message::user(text)]),
            None => {
                let mut ids: Vec<u32> = self.tokenizer.bos_id().into_iter().collect();
                ids.extend(self.tokenizer.encode(text)?);
                Ok(ids)
            }
        }
    }

    /// Tokens that end an answer: the end of the document and the end of a turn.
    pub fn stops(&self) -> Vec<u32> {
        stops(&self.tokenizer)
    }

    /// What the model writes after each text, without special tokens.
    ///
    /// # Errors
    /// As [`crate::generate`].
    pub fn write(&self, texts: &[String], sampling: &Sampling, seed: u64) -> Result<Vec<String>> {
        let prompts = texts.iter().map(|t| self.prompt(t)).collect::<Result<Vec<_>>>()?;
        let written = generate(&self.model, &prompts, &self.stops(), sampling, seed)?;
        written.iter().map(|c| self.tokenizer.decode(&c.tokens)).collect()
    }
}

/// Tokens that end an answer.
pub fn stops(tokenizer: &Tokenizer) -> Vec<u32> {
    let ends = [SpecialTokens::END_OF_TEXT, SpecialTokens::END]
        .into_iter()
        .filter_map(|t| tokenizer.id(t));
    let mut stops: Vec<u32> = ends.chain(tokenizer.eos_id()).collect();
    stops.sort_unstable();
    stops.dedup();
    stops
}
