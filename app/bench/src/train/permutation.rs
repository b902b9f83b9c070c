//! Permutation language modelling: the last sixth of each row's order are targets, the rest is what
//! they see; two segments in each row.

use athanor_models::{Extra, Head, Input, Model, TwoStreams};
use athanor_tensor::{Device, Ids, Tensor};

use super::{Batch, Sizes, Work, chosen, token};

pub(super) const WORK: Work = Work { family: "xlnet", head: Head::PERMUTATION_LM, batch };

/// One token of so many is a target.
const PART: usize = 6;

fn batch(step: u64, sizes: &Sizes, model: &Model) -> Batch {
    let (rows, time) = (sizes.batch, sizes.time);
    let count = time / PART;
    let mut ids = Vec::with_capacity(rows * time);
    let mut hidden = vec![0.0; rows * time * time];
    let (mut asked, mut targets) = (Vec::new(), Vec::new());
    for row in 0..rows {
        let first = (step * rows as u64 + row as u64) * time as u64;
        ids.extend((0..time as u64).map(|i| token(first + i, sizes.vocabulary)));
        let mut order = chosen((3 << 32) + first, time, count);
        let mask = &mut hidden[row * time * time..];
        for (rank, &j) in order.iter().enumerate() {
            // Who comes before it in the order must not see it, nor must it itself.
            let later = &order[rank + 1..];
            for i in (0..time).filter(|i| !later.contains(i)) {
                mask[i * time + j] = 1.0;
            }
        }
        order.sort_unstable();
        asked.extend(order.iter().map(|&t| t as i32));
        targets.extend(order.iter().map(|&t| ids[row * time + t]));
    }
    let types = (0..rows * time).map(|i| i32::from(i % time >= time / 2)).collect();
    let input = Input {
        types: Some(Ids::new(Device::Cpu, types, [rows, time])),
        extra: Extra::TwoStreams(TwoStreams {
            permutation: Some(Tensor::from_slice(Device::Cpu, &hidden, [rows, time, time])),
            targets: Some(Ids::new(Device::Cpu, asked, [rows, count])),
            memory: Vec::new(),
        }),
        ..model.input(ids, rows, time)
    };
    Batch { input, rows: Vec::new(), targets, tokens: rows * time }
}
