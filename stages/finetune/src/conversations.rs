//! Conversations as tokens, packed into rows.

use athanor_data::pack;
use athanor_models::Input;
use athanor_store::{Error, Result};
use athanor_tensor::Device;
use athanor_text::{ChatTemplate, Message, Tokenizer, encode_chat};
use athanor_training::Packed;

/// A conversation's tokens, and which of them are learned.
#[derive(Clone)]
pub(crate) struct Example {
    pub tokens: Vec<(u32, bool)>,
    /// Weight of each learned token.
    pub weight: f32,
}

impl Example {
    /// The tokens that the model reads: the last of a conversation is predicted only.
    fn read(&self) -> std::slice::Iter<'_, (u32, bool)> {
        self.tokens[..self.tokens.len().saturating_sub(1)].iter()
    }
}

/// Encodes; a conversation longer than `limit` tokens loses its end. `None` if nothing of it would
/// be learned.
pub(crate) fn encode(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    messages: &[Message],
    limit: usize,
    weight: f64,
) -> Result<Option<Example>> {
    let mut tokens = encode_chat(tokenizer, template, messages)?;
    tokens.truncate(limit);
    let learned = tokens.iter().skip(1).any(|(_, own)| *own);
    Ok(learned.then_some(Example { tokens, weight: weight as f32 }))
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
    /// Weight of each target in the loss.
    pub weights: Vec<f32>,
    /// Tokens without padding.
    pub tokens: usize,
}

impl Rows {
    pub fn new(examples: Vec<Example>, limit: usize) -> Self {
        let lengths: Vec<usize> = examples.iter().map(|e| e.read().len()).collect();
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

    /// Rows side by side.
    pub fn batch(&self, rows: &[usize], device: Device) -> Batch {
        let examples = || rows.iter().flat_map(|&r| &self.rows[r]).map(|&i| &self.examples[i]);
        let read: Vec<Vec<u32>> = examples().map(|e| e.read().map(|(t, _)| *t).collect()).collect();
        let mut left = read.iter();
        let sequences: Vec<Vec<&[u32]>> = rows
            .iter()
            .map(|&r| left.by_ref().take(self.rows[r].len()).map(Vec::as_slice).collect())
            .collect();
        let Packed { input, starts } = Packed::rows(&sequences, device);
        let (mut places, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (example, start) in examples().zip(starts) {
            for (t, (next, own)) in example.tokens.iter().skip(1).enumerate() {
                if *own {
                    places.push((start + t) as i32);
                    targets.push(*next as i32);
                    weights.push(example.weight);
                }
            }
        }
        Batch { input, places, targets, weights, tokens: read.iter().map(Vec::len).sum() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_learned_token_has_its_examples_weight() {
        let example = |tokens: &[u32], weight| Example {
            tokens: tokens.iter().map(|&t| (t, t >= 10)).collect(),
            weight,
        };
        let rows = Rows::new(vec![example(&[1, 2, 10, 11], 1.0), example(&[3, 12], 5.0)], 8);
        let batch = rows.batch(&[0], Device::Cpu);
        let mut pairs: Vec<_> = batch.targets.iter().zip(&batch.weights).collect();
        pairs.sort_by_key(|(target, _)| **target);
        assert_eq!(pairs, [(&10, &1.0), (&11, &1.0), (&12, &5.0)]);
        // The last token of a conversation is predicted, not read.
        assert_eq!(batch.tokens, 4);
    }
}
