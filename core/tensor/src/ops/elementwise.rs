//! Elementwise functions and sums: what losses are made of.

use crate::{
    backend::{self, Binary, Unary},
    ops::Activation,
    tape::Var,
    tensor::{Shape, Tensor},
};

pub(super) fn unary_of(op: Unary, x: &Tensor) -> Tensor {
    let mut y = Tensor::uninit(x.device(), *x.shape());
    backend::of(x.device()).unary(op, x, &mut y);
    y
}

fn unary(op: Unary, x: &Var) -> Var {
    let (slot, saved) = (x.slot(), x.saved());
    let again = saved.clone();
    let y = Var::record(unary_of(op, x.value()), &[x], move |mut grad, grads| {
        backend::of(grad.device()).unary_grad(op, &saved.get(), &mut grad);
        grads.add(slot, grad);
    });
    match op {
        // These are between wide layers, where memory counts.
        Unary::Gelu | Unary::GeluTanh | Unary::Silu | Unary::Relu => {
            y.recomputed_by(&[x], move || unary_of(op, &again.get()))
        }
        _ => y,
    }
}

fn binary_of(op: Binary, a: &Tensor, b: &Tensor) -> Tensor {
    let device = a.device().with(b.device());
    let mut y = Tensor::uninit(device, *a.shape());
    backend::of(device).binary(op, a, b, &mut y);
    y
}

fn binary(name: &str, op: Binary, a: &Var, b: &Var) -> Var {
    assert_eq!(a.shape(), b.shape(), "{name}: shapes {:?} and {:?}", a.shape(), b.shape());
    let y = binary_of(op, a.value(), b.value());
    let (sa, sb) = (a.slot(), b.slot());
    if matches!(op, Binary::Add) {
        // No memory to save and none to write: both sides share the gradient.
        return Var::record(y, &[a, b], move |grad, grads| {
            grads.add(sa, grad.clone());
            grads.add(sb, grad);
        });
    }
    let (va, vb) = (a.saved(), b.saved());
    let again = (va.clone(), vb.clone());
    let y = Var::record(y, &[a, b], move |grad, grads| {
        let (va, vb) = (va.get(), vb.get());
        let device = grad.device();
        let mut da = Tensor::uninit(device, *va.shape());
        let mut db = Tensor::uninit(device, *va.shape());
        backend::of(device).binary_grad(op, [&va, &vb], &grad, [&mut da, &mut db]);
        grads.add(sa, da);
        grads.add(sb, db);
    });
    match op {
        Binary::SwiGlu | Binary::Mul => {
            y.recomputed_by(&[a, b], move || binary_of(op, &again.0.get(), &again.1.get()))
        }
        _ => y,
    }
}

macro_rules! unary_ops { ($($(#[$doc:meta])* $name:ident => $op:expr;)*) => {$(
    $(#[$doc])*
    pub fn $name(x: &Var) -> Var { unary($op, x) }
)*}}

unary_ops! {
    /// e^x.
    exp => Unary::Exp;
    /// Natural logarithm.
    log => Unary::Log;
    /// 1 / (1 + e^-x).
    sigmoid => Unary::Sigmoid;
    /// ln sigmoid(x), without overflow.
    log_sigmoid => Unary::LogSigmoid;
    /// x².
    square => Unary::Square;
    /// Hyperbolic tangent.
    tanh => Unary::Tanh;
    /// -x.
    neg => Unary::Scale(-1.0);
}

/// c·x.
pub fn scale(x: &Var, c: f32) -> Var {
    unary(Unary::Scale(c), x)
}

/// x + c.
pub fn add_scalar(x: &Var, c: f32) -> Var {
    unary(Unary::Offset(c), x)
}

/// x limited to [low, high]; no gradient outside.
pub fn clamp(x: &Var, low: f32, high: f32) -> Var {
    unary(Unary::Clamp(low, high), x)
}

/// An activation on its own; see [`linear`](crate::ops::linear) for the fused one.
pub fn activate(x: &Var, activation: Activation) -> Var {
    match activation.kernel() {
        Some(op) => unary(op, x),
        None => x.clone(),
    }
}

macro_rules! binary_ops { ($($(#[$doc:meta])* $name:ident => $op:expr;)*) => {$(
    $(#[$doc])*
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn $name(a: &Var, b: &Var) -> Var { binary(stringify!($name), $op, a, b) }
)*}}

binary_ops! {
    /// a + b.
    add => Binary::Add;
    /// a - b.
    sub => Binary::Sub;
    /// a·b.
    mul => Binary::Mul;
    /// a / b.
    div => Binary::Div;
    /// The lesser; at a tie the gradient goes to `a`.
    minimum => Binary::Min;
    /// The greater; at a tie the gradient goes to `a`.
    maximum => Binary::Max;
    /// silu(gate)·up: Shazeer 2020, "GLU variants improve transformer", eq. 6.
    swiglu => Binary::SwiGlu;
}

/// Sum of all elements, shape [].
pub fn sum(x: &Var) -> Var {
    let (slot, shape, device) = (x.slot(), *x.shape(), x.value().device());
    let mut total = Tensor::uninit(device, []);
    backend::of(device).sum(x.value(), &mut total);
    Var::record(total, &[x], move |grad, grads| {
        let mut dx = Tensor::uninit(device, shape);
        backend::of(device).broadcast(&grad, &mut dx);
        grads.add(slot, dx);
    })
}

/// Mean of all elements, shape [].
pub fn mean(x: &Var) -> Var {
    scale(&sum(x), 1.0 / x.value().len().max(1) as f32)
}

/// The same values under another shape.
///
/// # Panics
/// If the count differs.
pub fn reshape(x: &Var, shape: impl Into<Shape>) -> Var {
    let (slot, old, shape) = (x.slot(), *x.shape(), shape.into());
    let y = x.value().reshape(shape);
    Var::record(y, &[x], move |grad, grads| grads.add(slot, grad.reshape(old)))
        .recomputed_like(x, move |x| x.reshape(shape))
}
