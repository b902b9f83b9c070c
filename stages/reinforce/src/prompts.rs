//! Requests that the policy answers.

use athanor_data::Dialogue;
use athanor_store::{Error, Recipe, Result};
use athanor_text::{ChatTemplate, Message, Tokenizer, encode_prompt};

use crate::section::ReinforceSection;

/// A request and its tokens, up to where the answer begins.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    pub text: String,
    pub tokens: Vec<u32>,
}

/// Requests to learn from and to measure on.
pub(crate) struct Prompts {
    pub train: Vec<Prompt>,
    pub heldout: Vec<Prompt>,
}

impl Prompt {
    pub fn new(
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        messages: &[Message],
    ) -> Result<Self> {
        let text = messages.last().map_or(String::new(), |m| m.content.clone());
        Ok(Self { text, tokens: encode_prompt(tokenizer, template, messages)? })
    }
}

impl Prompts {
    /// Reads all requests; those that are longer than `longest` with their answers are left out.
    pub fn read(
        section: &ReinforceSection,
        recipe: &Recipe,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        longest: usize,
    ) -> Result<Self> {
        let mut prompts = Self { train: Vec::new(), heldout: Vec::new() };
        for source in &section.prompts {
            for Dialogue { mut messages, heldout, .. } in
                source.read(recipe, section.heldout_per_thousand as u32)?
            {
                while messages.last().is_some_and(|m| m.role == "assistant") {
                    messages.pop();
                }
                let prompt = Prompt::new(tokenizer, template, &messages)?;
                if messages.is_empty() || prompt.tokens.len() + section.max_new_tokens > longest {
                    continue;
                }
                if heldout { prompts.heldout.push(prompt) } else { prompts.train.push(prompt) }
            }
        }
        // Spread over the sources, whatever their order.
        let seen = prompts.heldout.len();
        let order = athanor_data::Shuffle::new(seen, 0, 0);
        let chosen = order
            .as_slice()
            .iter()
            .take(section.heldout_prompts)
            .map(|&i| prompts.heldout[i].clone())
            .collect();
        prompts.heldout = chosen;
        for (list, what) in [(&prompts.train, "to learn from"), (&prompts.heldout, "held out")] {
            if list.is_empty() {
                return Err(Error::input(format!(
                    "there is no request {what} that has, with max_new_tokens = {}, at most {longest} \
                     tokens",
                    section.max_new_tokens
                ))
                .at("reinforce.prompts")
                .hint("add shorter requests, lower max_new_tokens, or change heldout_per_thousand"));
            }
        }
        Ok(prompts)
    }
}
