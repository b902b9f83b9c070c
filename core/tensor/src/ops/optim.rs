//! What optimisers do to parameters in place; no gradients.

use crate::{
    cpu::{elementwise as cpu, gemm::Threads, newton_schulz, optim},
    device::Device,
    tensor::Tensor,
};

/// Settings of one AdamW update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f32,
    /// Decay of the mean.
    pub beta1: f32,
    /// Decay of the mean square.
    pub beta2: f32,
    /// Added to the root of the mean square.
    pub epsilon: f32,
    /// Decoupled decay.
    pub weight_decay: f32,
    /// Factor on the gradient, from clipping.
    pub grad_scale: f32,
}

/// AdamW: Loshchilov and Hutter 2019, algorithm 2, with the bias corrections of Kingma and Ba 2015;
/// the decay is learning_rate · weight_decay · p, as in PyTorch. `step` counts from 1.
///
/// # Panics
/// If the shapes differ.
pub fn adamw(
    p: &mut Tensor,
    g: &Tensor,
    m: &mut Tensor,
    v: &mut Tensor,
    settings: AdamW,
    step: u64,
) {
    assert!(
        p.shape() == g.shape() && p.shape() == m.shape() && p.shape() == v.shape(),
        "adamw: shapes differ"
    );
    match p.device() {
        Device::Cpu => optim::adamw(p.cpu_mut(), g.cpu(), m.cpu_mut(), v.cpu_mut(), settings, step),
        Device::Plan => [p, m, v].into_iter().for_each(Tensor::own),
    }
}

/// Σ x², in f64.
pub fn sum_squares(x: &Tensor) -> f64 {
    match x.device() {
        Device::Cpu => cpu::total_squares(x.cpu()),
        Device::Plan => 0.0,
    }
}

/// Whether every value is finite.
pub fn all_finite(x: &Tensor) -> bool {
    // A sum of squares may overflow where no value is infinite; look closer only then.
    sum_squares(x).is_finite() || x.with_host(|v| v.iter().all(|v| v.is_finite()))
}

/// x *= c
pub fn scale_in_place(x: &mut Tensor, c: f32) {
    match x.device() {
        Device::Cpu => {
            crate::cpu::parallel::rows(x.cpu_mut(), 1, |_, x| x.iter_mut().for_each(|v| *v *= c))
        }
        Device::Plan => x.own(),
    }
}

/// x = a·x + b·y
///
/// # Panics
/// If the shapes differ.
pub fn weighted_sum_in_place(x: &mut Tensor, a: f32, y: &Tensor, b: f32) {
    assert_eq!(x.shape(), y.shape(), "weighted_sum_in_place: shapes differ");
    match x.device() {
        Device::Cpu => crate::cpu::parallel::rows(x.cpu_mut(), 1, |i, x| {
            x.iter_mut().zip(&y.cpu()[i..]).for_each(|(x, &y)| *x = a * *x + b * y);
        }),
        Device::Plan => x.own(),
    }
}

/// momentum ← β·momentum + scale·g; gives β·momentum + scale·g, a step ahead along it (Nesterov's form).
///
/// # Panics
/// If the shapes differ.
pub fn nesterov(momentum: &mut Tensor, g: &Tensor, beta: f32, scale: f32) -> Tensor {
    assert_eq!(momentum.shape(), g.shape(), "nesterov: shapes differ");
    let mut ahead = Tensor::uninit(g.device(), *g.shape());
    match g.device() {
        Device::Cpu => {
            optim::nesterov(momentum.cpu_mut(), g.cpu(), beta, scale, ahead.cpu_mut());
        }
        Device::Plan => momentum.own(),
    }
    ahead
}

/// The nearest semi-orthogonal matrix to `g` [rows, cols], roughly: five quintic Newton–Schulz steps
/// with the coefficients of Jordan et al. 2024, "Muon", which bring the singular values near 1.
/// `among` others that are done at the same time it takes one thread.
///
/// # Panics
/// If `g` is not a matrix.
pub fn newton_schulz(g: &Tensor, among: bool) -> Tensor {
    let [rows, cols] = g.shape()[..] else { panic!("newton_schulz: shape {:?}", g.shape()) };
    let device = g.device();
    match device {
        Device::Cpu => {
            let threads = if among { Threads::One } else { Threads::All };
            let mut out = Tensor::uninit(device, [rows, cols]);
            newton_schulz::newton_schulz(g.cpu(), [rows, cols], out.cpu_mut(), threads);
            out
        }
        Device::Plan => {
            let n = rows.min(cols);
            let square = || Tensor::uninit(device, [n, n]);
            let _squares = (square(), square(), square(), square());
            Tensor::uninit(device, [rows, cols])
        }
    }
}
