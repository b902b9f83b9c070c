//! Losses over a vocabulary, fused with the projection: logits exist for one block of rows at a time.

use crate::{
    backend::{self, CrossEntropy, LogProbSaved, Projection},
    rng::Rng,
    tape::Var,
    tensor::{Ids, Tensor},
};

/// Checks the sizes, and gives the rows.
fn check(name: &str, h: &Var, w: &Var, targets: &Ids) -> usize {
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
    rows
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
    let rows = check("linear_cross_entropy", h, w, targets);
    if let Some(b) = b {
        let vocabulary = w.shape()[0];
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
    let mut loss = Tensor::uninit(device, []);
    let call = Projection {
        h: h.value(),
        w: w.value(),
        packed: w.packed(),
        bias: b.map(Var::value),
        targets,
    };
    let gradients = [dh.as_mut(), dw.as_mut(), db.as_mut()];
    let to = CrossEntropy { loss: &mut loss, log_probs: &mut log_probs, gradients };
    backend::of(device).cross_entropy(&call, weights, to);
    let (sh, sw, sb) = (h.slot(), w.slot(), b.and_then(Var::slot));
    let inputs: Vec<&Var> = [h, w].into_iter().chain(b).collect();
    let loss = Var::record(loss, &inputs, move |grad, grads| {
        for (slot, part) in [(sh, dh), (sw, dw), (sb, db)] {
            let Some(mut part) = part else { continue };
            backend::of(device).scale_by(&mut part, &grad);
            grads.add(slot, part);
        }
    });
    (loss, log_probs)
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
    let rows = check("linear_log_prob", h, w, targets);
    assert!(temperature > 0.0, "linear_log_prob: temperature {temperature}");
    let device = h.value().device();
    let scale = 1.0 / temperature;
    let [mut log_prob, mut entropy, mut lse] = [(); 3].map(|()| Tensor::uninit(device, [rows]));
    let call = Projection { h: h.value(), w: w.value(), packed: w.packed(), bias: None, targets };
    backend::of(device).log_prob(&call, scale, [&mut log_prob, &mut lse, &mut entropy]);
    let (sh, sw) = (h.slot(), w.slot());
    let (hv, wv, targets) = (h.value().clone(), w.value().clone(), targets.clone());
    let log_prob = Var::record(log_prob, &[h, w], move |grad, grads| {
        let mut dh = sh.map(|_| Tensor::uninit(device, *hv.shape()));
        let mut dw = sw.map(|_| Tensor::uninit(device, *wv.shape()));
        let call = Projection { h: &hv, w: &wv, packed: None, bias: None, targets: &targets };
        let saved = LogProbSaved { scale, lse: &lse, grad: &grad };
        let gradients = [dh.as_mut(), dw.as_mut()];
        backend::of(device).log_prob_grad(&call, saved, gradients);
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
    let device = x.value().device();
    let mut y = Tensor::uninit(device, *x.shape());
    backend::of(device).log_softmax(x.value(), &mut y);
    let (slot, saved) = (x.slot(), y.clone());
    Var::record(y, &[x], move |grad, grads| {
        let mut dx = Tensor::uninit(device, *saved.shape());
        backend::of(device).log_softmax_grad(&saved, &grad, &mut dx);
        grads.add(slot, dx);
    })
}

/// A token of each row of logits, [rows, vocabulary], drawn with its probability (row i by counter i of
/// `rng`), and the likeliest token of each row, the first of equal ones. No gradient: ids have none.
pub fn draw_rows(logits: &Tensor, rng: Rng) -> (Vec<i32>, Vec<i32>) {
    let found = backend::of(logits.device()).draw(logits, rng);
    found.into_iter().map(|[drawn, likeliest]| (drawn, likeliest)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

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
}
