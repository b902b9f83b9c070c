//! What optimisers do to parameters in place; no gradients.

use crate::{
    backend::{self, AdamW},
    tensor::Tensor,
};

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
    backend::of(p.device()).adamw(p, g, [m, v], settings, step);
}

/// Σ x², in f64.
pub fn sum_squares(x: &Tensor) -> f64 {
    backend::of(x.device()).sum_squares(x)
}

/// Whether every value is finite.
pub fn all_finite(x: &Tensor) -> bool {
    // A sum of squares may overflow where no value is infinite; look closer only then.
    sum_squares(x).is_finite() || backend::of(x.device()).all_finite(x)
}

/// x *= c
pub fn scale_in_place(x: &mut Tensor, c: f32) {
    backend::of(x.device()).scale(x, c);
}

/// x = a·x + b·y
///
/// # Panics
/// If the shapes differ.
pub fn weighted_sum_in_place(x: &mut Tensor, a: f32, y: &Tensor, b: f32) {
    assert_eq!(x.shape(), y.shape(), "weighted_sum_in_place: shapes differ");
    backend::of(x.device()).weighted_sum(x, a, y, b);
}

/// momentum ← β·momentum + scale·g; gives β·momentum + scale·g, a step ahead along it (Nesterov's form).
///
/// # Panics
/// If the shapes differ.
pub fn nesterov(momentum: &mut Tensor, g: &Tensor, beta: f32, scale: f32) -> Tensor {
    assert_eq!(momentum.shape(), g.shape(), "nesterov: shapes differ");
    let mut ahead = Tensor::uninit(g.device(), *g.shape());
    backend::of(g.device()).nesterov(momentum, g, beta, scale, &mut ahead);
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
    let mut out = Tensor::uninit(g.device(), [rows, cols]);
    backend::of(g.device()).newton_schulz(g, among, &mut out);
    out
}
