//! Masked tokens: rows of 32 to 128 tokens, padded; 15 % of each row's tokens are targets, and all of
//! these become the mask.

use athanor_models::{Head, Model};
use athanor_tensor::{Device, Ids, splitmix64};

use super::{Batch, Sizes, Work, chosen, token};

pub(super) const WORK: Work = Work { family: "bert", head: Head::MASKED_LM, batch };

/// BERT's `[MASK]`; padding is 0.
const MASK: i32 = 103;

fn batch(step: u64, sizes: &Sizes, model: &Model) -> Batch {
    let (rows, time) = (sizes.batch, sizes.time);
    let (mut ids, mut keys) = (vec![0; rows * time], vec![0; rows * time]);
    let (mut places, mut targets, mut tokens) = (Vec::new(), Vec::new(), 0);
    for row in 0..rows {
        let number = step * rows as u64 + row as u64;
        let length =
            time / 4 + (splitmix64((1 << 32) + number) % (time * 3 / 4 + 1) as u64) as usize;
        let at = row * time;
        for i in 0..length {
            ids[at + i] = 1 + token(number * time as u64 + i as u64, sizes.vocabulary - 1);
            keys[at + i] = 1;
        }
        let mut hidden = chosen((2 << 32) + number * time as u64, length, (15 * length + 50) / 100);
        hidden.sort_unstable();
        for place in hidden {
            places.push((at + place) as i32);
            targets.push(std::mem::replace(&mut ids[at + place], MASK));
        }
        tokens += length;
    }
    let mut input = model.input(ids, rows, time);
    input.mask.keys = Some(Ids::new(Device::Cpu, keys, [rows, time]));
    Batch { input, rows: places, targets, tokens }
}
