//! Losses over a vocabulary, fused with the projection: logits exist for one block of rows at a time.
//!
//! With p = softmax(h·Wᵀ), the gradient of -log p[target] with respect to the logits is
//! p - one-hot(target).

use crate::{
    cpu::{
        cross_entropy as cpu, elementwise,
        gemm::{Threads, matmul},
        mat::Mat,
    },
    device::Device,
    ops::{Weights, scale_in_place},
    rng::Rng,
    tape::Var,
    tensor::{Ids, Tensor},
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

/// The blocks of logits that stand in memory one after another.
fn plan_blocks(rows: usize, vocabulary: usize) {
    let step = block_rows(rows, vocabulary);
    for from in (0..rows).step_by(step) {
        drop(Tensor::uninit(Device::Plan, [step.min(rows - from), vocabulary]));
    }
}

fn check(name: &str, h: &Var, w: &Var, targets: &Ids) -> (usize, usize, usize) {
    let (rows, width) = h.value().rows();
    let [vocabulary, inner] = w.shape()[..] else { panic!("{name}: weights {:?}", w.shape()) };
    assert!(
        inner == width && targets.len() == rows,
        "{name}: {:?} with {:?}",
        h.shape(),
        w.shape()
    );
    if let Some(bad) = targets.host().iter().find(|&&t| t < 0 || t as usize >= vocabulary) {
        panic!("{name}: target {bad} in a vocabulary of {vocabulary}");
    }
    (rows, width, vocabulary)
}

/// Σ weights[i] · -log softmax(h[i]·Wᵀ)[targets[i]], shape []; and each row's log-probability.
///
/// `h` is [rows, width], `w` [vocabulary, width]; weights are the caller's normalisation (1/rows
/// for a mean). Where gradients are wanted they are made in the forward pass, block by block, so the
/// logits are computed once (as in Liger Kernel, Hsu et al. 2024).
///
/// # Panics
/// If the sizes do not fit or a target is not in the vocabulary. Drop ignored rows beforehand.
pub fn linear_cross_entropy(h: &Var, w: &Var, targets: &Ids, weights: &[f32]) -> (Var, Tensor) {
    linear_bias_cross_entropy(h, w, None, targets, weights)
}

/// [`linear_cross_entropy`] of logits h·Wᵀ + b, with b [vocabulary].
///
/// # Panics
/// As [`linear_cross_entropy`].
pub fn linear_bias_cross_entropy(
    h: &Var,
    w: &Var,
    b: Option<&Var>,
    targets: &Ids,
    weights: &[f32],
) -> (Var, Tensor) {
    let (rows, width, vocabulary) = check("linear_cross_entropy", h, w, targets);
    if let Some(b) = b {
        assert_eq!(b.shape()[..], [vocabulary], "linear_cross_entropy: bias {:?}", b.shape());
    }
    assert_eq!(
        weights.len(),
        rows,
        "linear_cross_entropy: {} weights for {rows} rows",
        weights.len()
    );
    let device = h.value().device();
    let mut dh = h.needs_grad().then(|| Tensor::uninit(device, *h.shape()));
    let mut dw = w.needs_grad().then(|| Tensor::uninit(device, *w.shape()));
    let mut db = b.filter(|b| b.needs_grad()).map(|b| Tensor::zeros(device, *b.shape()));
    let mut log_probs = Tensor::uninit(device, [rows]);
    let mut loss = 0.0f64;
    match device {
        Device::Cpu => {
            let hs = h.value().cpu();
            let step = block_rows(rows, vocabulary);
            if let (0, Some(dw)) = (rows, &mut dw) {
                dw.cpu_mut().fill(0.0);
            }
            for from in (0..rows).step_by(step) {
                let n = step.min(rows - from);
                let (targets, weights) =
                    (&targets.host()[from..from + n], &weights[from..from + n]);
                let hm = Mat::new(&hs[from * width..(from + n) * width], width);
                let bias = b.map(|b| b.value().cpu());
                let (mut logits, pairs) =
                    project(hm, w, bias, targets, [n, vocabulary, width], 1.0, device);
                for (i, pair) in pairs.chunks_exact(2).enumerate() {
                    log_probs.cpu_mut()[from + i] = pair[0];
                    loss -= f64::from(weights[i]) * f64::from(pair[0]);
                }
                if dh.is_none() && dw.is_none() && db.is_none() {
                    continue;
                }
                cpu::gradient(
                    logits.cpu_mut(),
                    vocabulary,
                    targets,
                    |i| pairs[2 * i + 1],
                    |i| weights[i],
                );
                if let Some(db) = &mut db {
                    let sums = elementwise::sum_rows(logits.cpu(), vocabulary);
                    elementwise::add_into(db.cpu_mut(), &sums);
                }
                let dh = dh.as_mut().map(|d| &mut d.cpu_mut()[from * width..(from + n) * width]);
                let dw = dw.as_mut().map(Tensor::cpu_mut);
                let dims = [n, vocabulary, width];
                spread(logits.cpu(), hm, w.value().cpu(), dims, dh, dw, from > 0, 1.0);
            }
        }
        Device::Plan => plan_blocks(rows, vocabulary),
    }
    let (sh, sw, sb) = (h.slot(), w.slot(), b.and_then(Var::slot));
    let inputs: Vec<&Var> = [h, w].into_iter().chain(b).collect();
    let loss = Var::record(Tensor::scalar(device, loss as f32), &inputs, move |grad, grads| {
        let factor = grad.item();
        for (slot, part) in [(sh, dh), (sw, dw), (sb, db)] {
            let Some(mut part) = part else { continue };
            if factor != 1.0 {
                crate::ops::scale_in_place(&mut part, factor);
            }
            grads.add(slot, part);
        }
    });
    (loss, log_probs)
}

/// Block of logits, and (log-probability, log-sum-exp) of each row.
fn project(
    h: Mat<'_>,
    w: &Var,
    bias: Option<&[f32]>,
    targets: &[i32],
    [n, vocabulary, width]: [usize; 3],
    scale: f32,
    device: Device,
) -> (Tensor, Vec<f32>) {
    let mut logits = Tensor::uninit(device, [n, vocabulary]);
    match w.packed().and_then(|slot| slot.laid(w.value(), Weights::OutIn, n)) {
        Some(laid) => {
            laid.product(&h.data[..n * width], n, logits.cpu_mut());
            if scale != 1.0 {
                scale_in_place(&mut logits, scale);
            }
        }
        None => {
            let dims = [n, vocabulary, width];
            let wm = Mat::new(w.value().cpu(), width).t();
            matmul(logits.cpu_mut(), vocabulary, dims, h, wm, scale, false, Threads::All);
        }
    }
    if let Some(bias) = bias {
        elementwise::add_bias(logits.cpu_mut(), bias);
    }
    let mut pairs = vec![0.0; 2 * n];
    cpu::log_prob(logits.cpu(), vocabulary, targets, &mut pairs);
    (logits, pairs)
}

/// From the logits' gradient to those of h (written) and W (added, unless it is the first block),
/// where they are wanted.
#[allow(clippy::too_many_arguments)]
fn spread(
    g: &[f32],
    h: Mat<'_>,
    w: &[f32],
    [n, vocabulary, width]: [usize; 3],
    dh: Option<&mut [f32]>,
    dw: Option<&mut [f32]>,
    add: bool,
    scale: f32,
) {
    let gm = Mat::new(g, vocabulary);
    if let Some(dh) = dh {
        let wm = Mat::new(w, width);
        matmul(dh, width, [n, width, vocabulary], gm, wm, scale, false, Threads::All);
    }
    if let Some(dw) = dw {
        matmul(dw, width, [vocabulary, width, n], gm.t(), h, scale, add, Threads::All);
    }
}

/// What [`linear_log_prob`] gives for each row.
pub struct LogProb {
    /// log softmax(h·Wᵀ / temperature)[target], with gradient.
    pub log_prob: Var,
    /// The distribution's entropy in nats, without gradient.
    pub entropy: Tensor,
}

/// Each row's log-probability of its target, shape [rows]; for objectives that are not a plain mean
/// of them. The backward pass computes the logits again.
///
/// # Panics
/// As [`linear_cross_entropy`]; and if the temperature is not above 0.
pub fn linear_log_prob(h: &Var, w: &Var, targets: &Ids, temperature: f32) -> LogProb {
    let (rows, width, vocabulary) = check("linear_log_prob", h, w, targets);
    assert!(temperature > 0.0, "linear_log_prob: temperature {temperature}");
    let device = h.value().device();
    let scale = 1.0 / temperature;
    let step = block_rows(rows, vocabulary);
    let mut log_prob = Tensor::uninit(device, [rows]);
    let mut entropy = Tensor::uninit(device, [rows]);
    let mut lse = vec![0.0f32; rows];
    match device {
        Device::Cpu => {
            for from in (0..rows).step_by(step) {
                let n = step.min(rows - from);
                let hm = Mat::new(&h.value().cpu()[from * width..(from + n) * width], width);
                let dims = [n, vocabulary, width];
                let (logits, pairs) =
                    project(hm, w, None, &targets.host()[from..from + n], dims, scale, device);
                for (i, pair) in pairs.chunks_exact(2).enumerate() {
                    log_prob.cpu_mut()[from + i] = pair[0];
                    lse[from + i] = pair[1];
                }
                let out = &mut entropy.cpu_mut()[from..from + n];
                cpu::entropy(logits.cpu(), vocabulary, |i| pairs[2 * i + 1], out);
            }
        }
        Device::Plan => plan_blocks(rows, vocabulary),
    }
    let (sh, sw) = (h.slot(), w.slot());
    let (hv, wv, targets) = (h.value().clone(), w.value().clone(), targets.clone());
    let log_prob = Var::record(log_prob, &[h, w], move |grad, grads| {
        let device = hv.device();
        let mut dh = sh.map(|_| Tensor::uninit(device, *hv.shape()));
        let mut dw = sw.map(|_| Tensor::uninit(device, *wv.shape()));
        match device {
            Device::Cpu => {
                let g = grad.cpu();
                if let (0, Some(dw)) = (rows, &mut dw) {
                    dw.cpu_mut().fill(0.0);
                }
                for from in (0..rows).step_by(step) {
                    let n = step.min(rows - from);
                    let hm = Mat::new(&hv.cpu()[from * width..(from + n) * width], width);
                    let mut logits = Tensor::uninit(device, [n, vocabulary]);
                    let wm = Mat::new(wv.cpu(), width);
                    matmul(
                        logits.cpu_mut(),
                        vocabulary,
                        [n, vocabulary, width],
                        hm,
                        wm.t(),
                        scale,
                        false,
                        Threads::All,
                    );
                    let targets = &targets.host()[from..from + n];
                    cpu::gradient(
                        logits.cpu_mut(),
                        vocabulary,
                        targets,
                        |i| lse[from + i],
                        |i| -g[from + i],
                    );
                    let dh =
                        dh.as_mut().map(|d| &mut d.cpu_mut()[from * width..(from + n) * width]);
                    let dw = dw.as_mut().map(Tensor::cpu_mut);
                    let dims = [n, vocabulary, width];
                    spread(logits.cpu(), hm, wv.cpu(), dims, dh, dw, from > 0, scale);
                }
            }
            Device::Plan => plan_blocks(rows, vocabulary),
        }
        for (slot, part) in [(sh, dh), (sw, dw)] {
            if let Some(part) = part {
                grads.add(slot, part);
            }
        }
    });
    LogProb { log_prob, entropy }
}

/// Log-softmax over the last dimension.
pub fn log_softmax(x: &Var) -> Var {
    let (_, width) = x.value().rows();
    let mut y = Tensor::uninit(x.value().device(), *x.shape());
    match x.value().device() {
        Device::Cpu => cpu::log_softmax(x.value().cpu(), width, y.cpu_mut()),
        Device::Plan => {}
    }
    let (slot, saved) = (x.slot(), y.clone());
    Var::record(y, &[x], move |grad, grads| {
        let mut dx = Tensor::uninit(saved.device(), *saved.shape());
        match saved.device() {
            Device::Cpu => cpu::log_softmax_grad(saved.cpu(), grad.cpu(), width, dx.cpu_mut()),
            Device::Plan => {}
        }
        grads.add(slot, dx);
    })
}

/// A token of each row of logits, [rows, vocabulary], drawn with its probability (row i by counter i of
/// `rng`), and the likeliest token of each row, the first of equal ones. No gradient: ids have none.
pub fn draw_rows(logits: &Tensor, rng: Rng) -> (Vec<i32>, Vec<i32>) {
    let (rows, width) = logits.rows();
    let mut found = vec![[0; 2]; rows];
    match logits.device() {
        Device::Cpu => {
            cpu::draw(logits.cpu(), width, |row| rng.uniform_f64(row as u64), &mut found);
        }
        Device::Plan => {}
    }
    found.into_iter().map(|[drawn, likeliest]| (drawn, likeliest)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_by_their_probability() {
        let (rows, p) = (30_000, [0.5f32, 0.2, 0.0, 0.3]);
        let row: Vec<f32> = p.iter().map(|p| p.ln() + 3.0).collect();
        let logits = Tensor::from_slice(Device::Cpu, &row.repeat(rows), [rows, 4]);
        let (drawn, likeliest) = draw_rows(&logits, Rng::new(7));
        assert!(likeliest.iter().all(|&t| t == 0));
        for (token, p) in p.iter().enumerate() {
            let share = drawn.iter().filter(|&&t| t == token as i32).count() as f32 / rows as f32;
            assert!((share - p).abs() < 0.01, "{token}: {share}");
        }
        let (same, _) = draw_rows(&logits, Rng::new(7));
        assert_eq!(same, drawn);
    }

    #[test]
    fn blocks_cover_any_vocabulary() {
        assert_eq!(block_rows(2048, 4096), 1024);
        assert_eq!(block_rows(200, 30522), 200);
        assert_eq!(block_rows(10_000, 1), 5000);
        assert_eq!(block_rows(640, 1 << 30), 64);
        assert_eq!(block_rows(0, 5), 1);
    }
}
