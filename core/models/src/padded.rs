//! Rows of several lengths as one input.

use athanor_tensor::Ids;

use crate::{heads::Readout, input::Input, model::Model};

/// A row of tokens with their types: none, or one for each.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// BERT's token_type_ids.
    pub types: &'a [u32],
}

/// Rows side by side, the shorter ones filled up.
pub struct Padded {
    /// [rows, longest row].
    pub input: Input,
    /// The same ids, padding included, for [`Model::pick`].
    pub ids: Vec<i32>,
    /// For each row the place of its first token among all, [rows · time].
    pub starts: Vec<usize>,
}

/// Type of padding, as XLNet's tokeniser has it: no text's.
const PAD_TYPE: i32 = 3;

impl Model {
    /// Whether shorter rows are filled up on the left: where the head reads the last place (XLNet).
    pub fn pads_left(&self) -> bool {
        self.head_network().reads(Readout::Last)
    }

    /// An input of rows that do not see the padding. Types that the model does not have are left out.
    ///
    /// # Panics
    /// If all rows are empty or an id is not in the vocabulary.
    pub fn padded(&self, rows: &[Row<'_>]) -> Padded {
        let (batch, time) = (rows.len(), rows.iter().map(|r| r.ids.len()).max().unwrap_or(0));
        let pad = self.token("pad_token_id").unwrap_or(0) as i32;
        let limit = self.type_limit();
        let pad_type = if (PAD_TYPE as usize) < limit { PAD_TYPE } else { 0 };
        let (mut ids, mut mask) = (vec![pad; batch * time], vec![0; batch * time]);
        let mut types = vec![pad_type; batch * time];
        let mut starts = Vec::with_capacity(batch);
        for (b, row) in rows.iter().enumerate() {
            let start = b * time + if self.pads_left() { time - row.ids.len() } else { 0 };
            starts.push(start);
            for (t, &id) in row.ids.iter().enumerate() {
                ids[start + t] = id as i32;
                mask[start + t] = 1;
                types[start + t] = row.types.get(t).map_or(0, |&t| t as i32);
            }
        }
        let mut input = self.input(ids.clone(), batch, time);
        let device = self.device();
        // A causal row does not look ahead at what fills it up on the right.
        if mask.contains(&0) && (!input.mask.causal || self.pads_left()) {
            input.mask.keys = Some(Ids::new(device, mask, [batch, time]));
        }
        let typed = rows.iter().any(|r| r.types.iter().any(|&t| t > 0));
        if typed && types.iter().all(|&t| (t as usize) < limit) {
            input.types = Some(Ids::new(device, types, [batch, time]));
        }
        Padded { input, ids, starts }
    }
}
