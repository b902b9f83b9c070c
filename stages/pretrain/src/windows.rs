//! Fixed windows over a row of tokens, and batches of them.

use athanor_data::Shards;
use athanor_models::Input;
use athanor_store::{Error, Result};
use athanor_tensor::{Device, Ids, ops::Mask};

/// A batch: inputs, and at each place the token that follows.
pub(crate) struct Batch {
    pub input: Input,
    /// [batch · time].
    pub targets: Vec<i32>,
}

/// The tokens of a split cut into windows of `time` inputs; window i begins at i · time and the
/// target of its last input is the first token of the next.
pub(crate) struct Windows {
    shards: Shards,
    time: usize,
    document_mask: bool,
    end_of_text: i32,
}

impl Windows {
    pub fn new(shards: Shards, time: usize, document_mask: bool) -> Self {
        let end_of_text = shards.index().end_of_document as i32;
        Self { shards, time, document_mask, end_of_text }
    }

    pub fn count(&self) -> usize {
        (self.shards.len().saturating_sub(1) / self.time as u64) as usize
    }

    /// Fails if there is not even one window.
    pub fn check(&self, dir: &std::path::Path) -> Result<()> {
        if self.count() > 0 {
            return Ok(());
        }
        Err(Error::input(format!(
            "{} tokens, at least {} were expected",
            self.shards.len(),
            self.time + 1
        ))
        .at(dir.display())
        .hint("give the corpus more text, or lower pretrain.model.context"))
    }

    pub fn batch(&self, windows: &[usize], device: Device) -> Batch {
        let (batch, time) = (windows.len(), self.time);
        let mut ids = Vec::with_capacity(batch * time);
        let mut targets = Vec::with_capacity(batch * time);
        for &w in windows {
            let start = (w * time) as u64;
            let tokens = self.shards.tokens(start..start + time as u64 + 1);
            ids.extend(tokens[..time].iter().map(|&t| t as i32));
            targets.extend(tokens[1..].iter().map(|&t| t as i32));
        }
        let mut input = Input::causal(device, ids, batch, time);
        if self.document_mask {
            let (documents, positions) = self.documents(input.ids.host());
            input.mask = Mask {
                documents: Some(Ids::new(device, documents, [batch, time])),
                ..Mask::causal()
            };
            input.positions = Ids::new(device, positions, [batch, time]);
        }
        Batch { input, targets }
    }

    /// Number of the document and position in it. The token that closes a document is also the one
    /// from which the next begins: as an input it belongs to the next.
    fn documents(&self, ids: &[i32]) -> (Vec<i32>, Vec<i32>) {
        let mut documents = Vec::with_capacity(ids.len());
        let mut positions = Vec::with_capacity(ids.len());
        for row in ids.chunks(self.time) {
            let (mut document, mut position) = (0, 0);
            for (t, &id) in row.iter().enumerate() {
                if id == self.end_of_text && t > 0 {
                    document += 1;
                    position = 0;
                }
                documents.push(document);
                positions.push(position);
                position += 1;
            }
        }
        (documents, positions)
    }
}
