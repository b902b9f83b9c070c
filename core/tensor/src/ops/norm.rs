//! Layer norm (Ba et al. 2016) and RMS norm (Zhang and Sennrich 2019), alone or after a residual sum.
//!
//! With x̂ the normalised row and g = dy·w: dx = (g - mean(g) - x̂·mean(g·x̂)) / σ, RMS norm without
//! the mean; dw = Σ dy·x̂, db = Σ dy.

use crate::{
    backend::{self, Norm, NormGradients, Normalised},
    tape::Var,
    tensor::Tensor,
};

fn check(name: &str, x: &Var, weight: &Var, bias: Option<&Var>) {
    let width = x.shape().last().copied().unwrap_or(0);
    assert!(
        weight.shape()[..] == [width] && bias.is_none_or(|b| b.shape()[..] == [width]),
        "{name}: input {:?} with weight {:?}",
        x.shape(),
        weight.shape()
    );
}

/// Records y = norm(x) as a function of x, weight and bias.
fn record(kind: Norm, y: Tensor, x: &Var, weight: &Var, bias: Option<&Var>, eps: f32) -> Var {
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    let (sx, sw, sb) = (x.slot(), weight.slot(), bias.and_then(Var::slot));
    let (x, w) = (x.value().clone(), weight.value().clone());
    let again = (x.clone(), w.clone(), bias.map(|b| b.value().clone()));
    Var::record(y, &inputs, move |grad, grads| {
        let device = x.device();
        let mut dx = Tensor::uninit(device, *x.shape());
        let mut dw = Tensor::uninit(device, *w.shape());
        let mut db = sb.map(|_| Tensor::uninit(device, *w.shape()));
        let call = Normalised { kind, x: &x, weight: &w, bias: None, epsilon: eps };
        let gradients = NormGradients { x: &mut dx, weight: &mut dw, bias: db.as_mut() };
        backend::of(device).norm_grad(call, &grad, gradients);
        grads.add(sw, dw);
        if let Some(db) = db {
            grads.add(sb, db);
        }
        grads.add(sx, dx);
    })
    // The rows that it normalises are kept for its own backward pass.
    .recomputed_by(&[], move || {
        let (x, w, bias) = &again;
        normalised(kind, x, w, bias.as_ref(), eps)
    })
}

fn normalised(kind: Norm, x: &Tensor, w: &Tensor, bias: Option<&Tensor>, eps: f32) -> Tensor {
    let mut y = Tensor::uninit(x.device(), *x.shape());
    let call = Normalised { kind, x, weight: w, bias, epsilon: eps };
    backend::of(x.device()).norm(call, &mut y);
    y
}

fn norm(name: &str, kind: Norm, x: &Var, weight: &Var, bias: Option<&Var>, eps: f32) -> Var {
    check(name, x, weight, bias);
    let y = normalised(kind, x.value(), weight.value(), bias.map(Var::value), eps);
    record(kind, y, x, weight, bias, eps)
}

fn add_norm(
    name: &str,
    kind: Norm,
    a: &Var,
    b: &Var,
    weight: &Var,
    bias: Option<&Var>,
    eps: f32,
) -> (Var, Var) {
    assert_eq!(a.shape(), b.shape(), "{name}: residual {:?} and {:?}", a.shape(), b.shape());
    check(name, a, weight, bias);
    let device = a.value().device();
    let (mut sum, mut y) = (Tensor::uninit(device, *a.shape()), Tensor::uninit(device, *a.shape()));
    let (x, weight_value) = (a.value(), weight.value());
    let call =
        Normalised { kind, x, weight: weight_value, bias: bias.map(Var::value), epsilon: eps };
    backend::of(device).add_norm(call, b.value(), &mut sum, &mut y);
    let (sa, sb) = (a.slot(), b.slot());
    let sum = Var::record(sum, &[a, b], move |grad, grads| {
        grads.add(sa, grad.clone());
        grads.add(sb, grad);
    });
    let y = record(kind, y, &sum, weight, bias, eps);
    (sum, y)
}

/// (x - mean) / sqrt(variance + eps) · weight + bias over the last dimension.
///
/// # Panics
/// If the sizes do not fit.
pub fn layer_norm(x: &Var, weight: &Var, bias: Option<&Var>, eps: f32) -> Var {
    norm("layer_norm", Norm::Layer, x, weight, bias, eps)
}

/// x / sqrt(mean(x²) + eps) · weight over the last dimension.
///
/// # Panics
/// If the sizes do not fit.
pub fn rms_norm(x: &Var, weight: &Var, eps: f32) -> Var {
    norm("rms_norm", Norm::Rms, x, weight, None, eps)
}

/// (a + b, layer_norm(a + b)) in one pass over memory.
///
/// # Panics
/// If the sizes do not fit.
pub fn add_layer_norm(a: &Var, b: &Var, weight: &Var, bias: Option<&Var>, eps: f32) -> (Var, Var) {
    add_norm("add_layer_norm", Norm::Layer, a, b, weight, bias, eps)
}

/// (a + b, rms_norm(a + b)) in one pass over memory.
///
/// # Panics
/// If the sizes do not fit.
pub fn add_rms_norm(a: &Var, b: &Var, weight: &Var, eps: f32) -> (Var, Var) {
    add_norm("add_rms_norm", Norm::Rms, a, b, weight, None, eps)
}
