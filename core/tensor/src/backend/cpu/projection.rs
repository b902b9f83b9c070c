//! Logits of a vocabulary and what losses read of them, a block of rows at a time.
//!
//! With p = softmax(h·Wᵀ), the gradient of -log p[target] with respect to the logits is
//! p - one-hot(target). Where gradients are wanted they are made in the forward pass, so the logits are computed
//! once (as in Liger Kernel, Hsu et al. 2024).

use std::ops::Range;

use super::{
    cross_entropy as rowwise, elementwise,
    gemm::matmul,
    mat::{Gemm, Mat},
    packed,
};
use crate::{
    backend::{LogProbSaved, Projection, Weights},
    pool::Buf,
    tensor::Tensor,
};

/// Elements of logits alive at once: 16 MiB. Each block reads and writes the whole gradient of the
/// weights, so blocks of few rows wait for memory (measured: 10 to 15 % over 4 MiB at 8000 × 256).
const BLOCK: usize = 1 << 22;

/// Rows of a block: as many blocks of about [`BLOCK`] as come nearest, and all alike, for a small one
/// costs as much memory traffic as a large one.
fn block_rows(rows: usize, vocabulary: usize) -> usize {
    let whole = (BLOCK / vocabulary.max(1)).clamp(64, 4096);
    let blocks = ((rows + whole / 2) / whole).max(1);
    rows.div_ceil(blocks).max(1)
}

/// The rows of each block.
pub(crate) fn blocks(rows: usize, vocabulary: usize) -> impl Iterator<Item = Range<usize>> {
    let step = block_rows(rows, vocabulary);
    (0..rows).step_by(step).map(move |from| from..(from + step).min(rows))
}

/// A block of rows of a projection.
struct Block<'a> {
    h: Mat<'a>,
    targets: &'a [i32],
    rows: Range<usize>,
    vocabulary: usize,
    width: usize,
}

impl<'a> Block<'a> {
    fn new(call: &Projection<'a>, rows: Range<usize>) -> Self {
        let [_, vocabulary, width] = call.sizes();
        let h = Mat::new(&call.h.cpu()[rows.start * width..rows.end * width], width);
        Self { h, targets: &call.targets.host()[rows.clone()], rows, vocabulary, width }
    }

    fn dims(&self) -> [usize; 3] {
        [self.rows.len(), self.vocabulary, self.width]
    }

    /// scale·(h·Wᵀ) + b.
    fn logits(&self, call: &Projection<'_>, scale: f32) -> Buf {
        let [n, vocabulary, width] = self.dims();
        let mut logits = Buf::uninit(n * vocabulary);
        let x = &self.h.data[..n * width];
        let by_packed = |packed| packed::product(x, n, call.w, Weights::OutIn, packed, &mut logits);
        if call.packed.is_some_and(by_packed) {
            if scale != 1.0 {
                elementwise::scale(&mut logits, scale);
            }
        } else {
            let w = Mat::new(call.w.cpu(), width).t();
            matmul(&mut logits, vocabulary, Gemm::new(self.dims(), self.h, w).scaled(scale));
        }
        if let Some(bias) = call.bias {
            elementwise::add_bias(&mut logits, bias.cpu());
        }
        logits
    }

    /// (log-probability of the target, log-sum-exp) of each row.
    fn log_probs(&self, logits: &[f32]) -> Vec<f32> {
        let mut pairs = vec![0.0; 2 * self.rows.len()];
        rowwise::log_prob(logits, self.vocabulary, self.targets, &mut pairs);
        pairs
    }

    /// From the logits' gradient `g` to those of h (written) and W (added, unless it is the first block),
    /// where they are wanted.
    fn gradients(
        &self,
        g: &[f32],
        w: &Tensor,
        scale: f32,
        dh: &mut Option<&mut Tensor>,
        dw: &mut Option<&mut Tensor>,
    ) {
        let [n, vocabulary, width] = self.dims();
        let gm = Mat::new(g, vocabulary);
        if let Some(dh) = dh {
            let dh = &mut dh.cpu_mut()[self.rows.start * width..self.rows.end * width];
            let w = Mat::new(w.cpu(), width);
            matmul(dh, width, Gemm::new([n, width, vocabulary], gm, w).scaled(scale));
        }
        if let Some(dw) = dw {
            let (dims, add) = ([vocabulary, width, n], self.rows.start > 0);
            matmul(dw.cpu_mut(), width, Gemm::new(dims, gm.t(), self.h).scaled(scale).added(add));
        }
    }
}

/// Zeros as the weights' gradient of no rows.
fn clear_without_rows(rows: usize, dw: &mut Option<&mut Tensor>) {
    if let (0, Some(dw)) = (rows, dw) {
        dw.cpu_mut().fill(0.0);
    }
}

/// The weighted sum of -log p of the targets, each log p, and the gradients that are wanted.
pub(crate) fn cross_entropy(
    call: &Projection<'_>,
    weights: &[f32],
    log_probs: &mut [f32],
    [mut dh, mut dw, mut db]: [Option<&mut Tensor>; 3],
) -> f32 {
    let [rows, vocabulary, _] = call.sizes();
    clear_without_rows(rows, &mut dw);
    let mut loss = 0.0f64;
    for rows in blocks(rows, vocabulary) {
        let block = Block::new(call, rows.clone());
        let weights = &weights[rows.clone()];
        let mut logits = block.logits(call, 1.0);
        let pairs = block.log_probs(&logits);
        for ((pair, weight), log_prob) in
            pairs.chunks_exact(2).zip(weights).zip(&mut log_probs[rows])
        {
            *log_prob = pair[0];
            loss -= f64::from(*weight) * f64::from(pair[0]);
        }
        if dh.is_none() && dw.is_none() && db.is_none() {
            continue;
        }
        let lse = |i: usize| pairs[2 * i + 1];
        rowwise::gradient(&mut logits, vocabulary, block.targets, lse, |i| weights[i]);
        if let Some(db) = &mut db {
            let sums = elementwise::sum_rows(&logits, vocabulary);
            elementwise::add_into(db.cpu_mut(), &sums);
        }
        block.gradients(&logits, call.w, 1.0, &mut dh, &mut dw);
    }
    loss as f32
}

/// Of each row: the target's log-probability, the log-sum-exp and the entropy.
pub(crate) fn log_prob(
    call: &Projection<'_>,
    scale: f32,
    [log_prob, lse, entropy]: [&mut [f32]; 3],
) {
    let [rows, vocabulary, _] = call.sizes();
    for rows in blocks(rows, vocabulary) {
        let block = Block::new(call, rows.clone());
        let logits = block.logits(call, scale);
        let pairs = block.log_probs(&logits);
        let outs = log_prob[rows.clone()].iter_mut().zip(&mut lse[rows.clone()]);
        for (pair, (log_prob, lse)) in pairs.chunks_exact(2).zip(outs) {
            (*log_prob, *lse) = (pair[0], pair[1]);
        }
        rowwise::entropy(&logits, vocabulary, |i| pairs[2 * i + 1], &mut entropy[rows]);
    }
}

/// Gradients of h and W that are wanted; computes the logits again.
pub(crate) fn log_prob_grad(
    call: &Projection<'_>,
    saved: LogProbSaved<'_>,
    [mut dh, mut dw]: [Option<&mut Tensor>; 2],
) {
    let [rows, vocabulary, _] = call.sizes();
    clear_without_rows(rows, &mut dw);
    for rows in blocks(rows, vocabulary) {
        let block = Block::new(call, rows.clone());
        let mut logits = block.logits(call, saved.scale);
        let (lse, g) = (&saved.lse.cpu()[rows.clone()], &saved.grad.cpu()[rows]);
        rowwise::gradient(&mut logits, vocabulary, block.targets, |i| lse[i], |i| -g[i]);
        block.gradients(&logits, call.w, saved.scale, &mut dh, &mut dw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_any_vocabulary() {
        assert_eq!(block_rows(2048, 4096), 1024);
        assert_eq!(block_rows(200, 30522), 200);
        assert_eq!(block_rows(10_000, 1), 5000);
        assert_eq!(block_rows(640, 1 << 30), 64);
        assert_eq!(block_rows(0, 5), 1);
        assert_eq!(blocks(0, 5).count(), 0);
        assert_eq!((blocks(5, 1 << 30).count(), blocks(5, 1 << 30).next()), (1, Some(0..5)));
    }
}
