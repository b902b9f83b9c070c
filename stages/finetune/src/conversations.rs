//! Conversations as tokens, packed into rows.

use athanor_data::pack;
use athanor_models::Input;
use athanor_store::{Error, Result};
use athanor_tensor::{Device, Ids, ops::Mask};
use athanor_text::{ChatTemplate, Message, Tokenizer, encode_chat};

/// A conversation's tokens, and which of them are learned.
pub(crate) struct Example {
    pub tokens: Vec<(u32, bool)>,
}

/// Encodes; a conversation longer than `limit` tokens loses its end. `None` if nothing of it would
/// be learned.
pub(crate) fn encode(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    messages: &[Message],
    limit: usize,
) -> Result<Option<Example>> {
    let mut tokens = encode_chat(tokenizer, template, messages)?;
    tokens.truncate(limit);
    let learned = tokens.iter().skip(1).any(|(_, own)| *own);
    Ok(learned.then_some(Example { tokens }))
}

/// Examples packed into rows of at most `limit` inputs.
pub(crate) struct Rows {
    pub examples: Vec<Example>,
    pub rows: Vec<Vec<usize>>,
}

/// A batch of rows: learned places only have targets.
pub(crate) struct Batch {
    pub input: Input,
    /// Places [batch · time] whose next token is learned, and that token.
    pub places: Vec<i32>,
    pub targets: Vec<i32>,
    /// Tokens without padding.
    pub tokens: usize,
}

impl Rows {
    pub fn new(examples: Vec<Example>, limit: usize) -> Self {
        // The last token of a conversation is predicted, never read.
        let lengths: Vec<usize> = examples.iter().map(|e| e.tokens.len() - 1).collect();
        let rows = pack(&lengths, limit);
        Self { examples, rows }
    }

    pub fn check(&self) -> Result<()> {
        if self.rows.is_empty() {
            return Err(Error::input("no conversation has an answer to learn from")
                .at("finetune.data")
                .hint(
                    "an answer is a message with the role assistant that fits into the context",
                ));
        }
        Ok(())
    }

    /// Rows side by side, padded to the longest; each conversation sees itself alone and counts its
    /// positions from 0.
    pub fn batch(&self, rows: &[usize], pad: u32, device: Device) -> Batch {
        let length = |row: usize| {
            self.rows[row].iter().map(|&i| self.examples[i].tokens.len() - 1).sum::<usize>()
        };
        let time = rows.iter().map(|&r| length(r)).max().unwrap_or(0);
        let count = rows.len() * time;
        let (mut ids, mut documents, mut positions) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut places, mut targets, mut tokens) = (Vec::new(), Vec::new(), 0);
        for &row in rows {
            let end = ids.len() + time;
            for (document, &i) in self.rows[row].iter().enumerate() {
                let example = &self.examples[i].tokens;
                for (position, pair) in example.windows(2).enumerate() {
                    if pair[1].1 {
                        places.push(ids.len() as i32);
                        targets.push(pair[1].0 as i32);
                    }
                    ids.push(pair[0].0 as i32);
                    documents.push(document as i32);
                    positions.push(position as i32);
                    tokens += 1;
                }
            }
            // Padding is a document of its own at the end of the row.
            documents.resize(end, self.rows[row].len() as i32);
            positions.resize(end, 0);
            ids.resize(end, pad as i32);
        }
        let shape = [rows.len(), time];
        let mut input = Input::causal(device, ids, rows.len(), time);
        input.positions = Ids::new(device, positions, shape);
        input.mask = Mask { documents: Some(Ids::new(device, documents, shape)), ..Mask::causal() };
        Batch { input, places, targets, tokens }
    }
}
