//! Next tokens.

use athanor_models::{Head, Input, Model};
use athanor_tensor::Device;

use super::{Batch, Sizes, Work, token};

pub(super) const WORK: Work = Work { family: "gpt2", head: Head::CAUSAL_LM, batch };

/// Tokens of a batch and, one place on, its targets.
fn batch(step: u64, sizes: &Sizes, _: &Model) -> Batch {
    let row = sizes.time + 1;
    let count = (sizes.batch * row) as u64;
    let all: Vec<i32> = (0..count).map(|i| token(step * count + i, sizes.vocabulary)).collect();
    let cut = |from: usize| -> Vec<i32> {
        all.chunks(row).flat_map(|r| r[from..from + sizes.time].iter().copied()).collect()
    };
    let targets = cut(1);
    Batch {
        input: Input::causal(Device::Cpu, cut(0), sizes.batch, sizes.time),
        rows: Vec::new(),
        tokens: targets.len(),
        targets,
    }
}
