//! Elementwise functions and sums: what losses are made of.

use crate::{
    cpu::elementwise::{self as cpu, Binary, Unary},
    device::Device,
    ops::Activation,
    tape::Var,
    tensor::{Shape, Tensor},
};

fn unary_of(op: Unary, x: &Tensor) -> Tensor {
    let mut y = Tensor::uninit(x.device(), *x.shape());
    match x.device() {
        Device::Cpu => cpu::unary(op, x.cpu(), y.cpu_mut()),
        Device::Plan => {}
    }
    y
}

fn unary(op: Unary, x: &Var) -> Var {
    let (slot, saved) = (x.slot(), x.saved());
    let again = saved.clone();
    let y = Var::record(unary_of(op, x.value()), &[x], move |mut grad, grads| {
        match grad.device() {
            Device::Cpu => cpu::unary_grad(op, saved.get().cpu(), grad.cpu_mut()),
            Device::Plan => {
                let _saved = saved.get();
                grad.own();
            }
        }
        grads.add(slot, grad);
    });
    match op {
        // What stands between wide layers.
        Unary::Gelu | Unary::GeluTanh | Unary::Silu | Unary::Relu => {
            y.remade_by(&[x], move || unary_of(op, &again.get()))
        }
        _ => y,
    }
}

fn binary_of(op: Binary, a: &Tensor, b: &Tensor) -> Tensor {
    let device = a.device().with(b.device());
    let mut y = Tensor::uninit(device, *a.shape());
    match device {
        Device::Cpu => cpu::binary(op, a.cpu(), b.cpu(), y.cpu_mut()),
        Device::Plan => {}
    }
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
        match device {
            Device::Cpu => {
                cpu::binary_grad(op, va.cpu(), vb.cpu(), grad.cpu(), da.cpu_mut(), db.cpu_mut())
            }
            Device::Plan => {}
        }
        grads.add(sa, da);
        grads.add(sb, db);
    });
    match op {
        Binary::SwiGlu | Binary::Mul => {
            y.remade_by(&[a, b], move || binary_of(op, &again.0.get(), &again.1.get()))
        }
        _ => y,
    }
}

/// sum += x, outside of any tape.
pub(crate) fn add_into(sum: &mut Tensor, x: &Tensor) {
    assert_eq!(
        sum.shape(),
        x.shape(),
        "gradient sum: shapes {:?} and {:?}",
        sum.shape(),
        x.shape()
    );
    match sum.device() {
        Device::Cpu => cpu::add_into(sum.cpu_mut(), x.cpu()),
        Device::Plan => sum.own(),
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
    let total = match x.value().device() {
        Device::Cpu => cpu::total(x.value().cpu()),
        Device::Plan => 0.0,
    };
    let (slot, shape, device) = (x.slot(), *x.shape(), x.value().device());
    Var::record(Tensor::scalar(device, total), &[x], move |grad, grads| {
        grads.add(slot, Tensor::full(device, shape, grad.item()));
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
        .remade_like(x, move |x| x.reshape(shape))
}
