//! Conversations as tokens, several in a row of the model.

use athanor_models::Input;
use athanor_store::Result;
use athanor_tensor::Device;
use athanor_text::{ChatTemplate, Message, Tokenizer, encode_chat};
use athanor_training::Packed;

/// A conversation's tokens, and which of them are learned.
#[derive(Clone)]
pub struct Row {
    tokens: Vec<(u32, bool)>,
}

impl Row {
    /// Encodes; a conversation of which more than `limit` tokens would be read loses its end. `None` if nothing of
    /// it would be learned.
    pub(super) fn of(
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        messages: &[Message],
        limit: usize,
    ) -> Result<Option<Self>> {
        let mut tokens = encode_chat(tokenizer, template, messages)?;
        tokens.truncate(limit + 1);
        let row = Self { tokens };
        Ok((row.learned() > 0).then_some(row))
    }

    /// The tokens that the model reads: the last of a conversation is predicted only.
    pub(super) fn read(&self) -> std::slice::Iter<'_, (u32, bool)> {
        self.tokens[..self.tokens.len().saturating_sub(1)].iter()
    }

    /// How many tokens are learned.
    pub(super) fn learned(&self) -> usize {
        self.tokens.iter().skip(1).filter(|(_, own)| *own).count()
    }
}

/// A batch of packed rows: learned places only have targets.
pub(super) struct Batch {
    pub input: Input,
    /// Places [batch · time] whose next token is learned, and that token.
    pub places: Vec<i32>,
    pub targets: Vec<i32>,
    /// Weight of each target in the loss.
    pub weights: Vec<f32>,
}

impl Batch {
    /// Units side by side, each of which is a row of several items; `of` gives an item's conversation and the
    /// weight of its targets.
    pub fn new<'a, I>(device: Device, units: &[Vec<I>], of: impl Fn(&I) -> (&'a Row, f32)) -> Self {
        let all: Vec<Vec<(&Row, f32)>> =
            units.iter().map(|unit| unit.iter().map(&of).collect()).collect();
        let read = |row: &Row| row.read().map(|(t, _)| *t).collect::<Vec<u32>>();
        let read: Vec<Vec<Vec<u32>>> =
            all.iter().map(|unit| unit.iter().map(|(row, _)| read(row)).collect()).collect();
        let sequences: Vec<Vec<&[u32]>> =
            read.iter().map(|unit| unit.iter().map(Vec::as_slice).collect()).collect();
        let Packed { input, starts } = Packed::rows(&sequences, device);
        let (mut places, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for ((row, weight), start) in all.iter().flatten().zip(starts) {
            for (t, (next, own)) in row.tokens.iter().skip(1).enumerate() {
                if *own {
                    places.push((start + t) as i32);
                    targets.push(*next as i32);
                    weights.push(*weight);
                }
            }
        }
        Self { input, places, targets, weights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_learned_token_has_its_examples_weight() {
        let row = |tokens: &[u32]| Row { tokens: tokens.iter().map(|&t| (t, t >= 10)).collect() };
        let rows = [row(&[1, 2, 10, 11]), row(&[3, 12])];
        let weights = [1.0, 5.0];
        let batch = Batch::new(Device::Cpu, &[vec![0, 1]], |&i: &usize| (&rows[i], weights[i]));
        let mut pairs: Vec<_> = batch.targets.iter().zip(&batch.weights).collect();
        pairs.sort_by_key(|(target, _)| **target);
        assert_eq!(pairs, [(&10, &1.0), (&11, &1.0), (&12, &5.0)]);
        // The last token of a conversation is predicted, not read.
        assert_eq!(rows.iter().map(|row| row.read().len()).sum::<usize>(), 4);
    }
}
