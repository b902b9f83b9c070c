//! Linear maps with bias and activation.

use crate::{
    backend::{self, PackedProduct, Product, Weights},
    device::Device,
    ops::{Activation, elementwise::unary_of},
    tape::{Grads, Slot, Var},
    tensor::{Shape, Tensor},
};

/// activation(x·W + b) over the last dimension of `x`.
///
/// With z = x·W + b and G the gradient of z: dx = G·Wᵀ, dW = xᵀ·G, db = Σ rows of G.
///
/// # Panics
/// If the sizes do not fit.
pub fn linear(x: &Var, w: &Var, b: Option<&Var>, layout: Weights, activation: Activation) -> Var {
    let (_, inner) = x.value().rows();
    let (win, out) = layout.sizes(w.shape());
    assert_eq!(inner, win, "linear: input {:?} with {layout:?} weights {:?}", x.shape(), w.shape());
    if let Some(b) = b {
        assert_eq!(b.shape()[..], [out], "linear: bias {:?} for {out} outputs", b.shape());
    }
    let z = packed(x, w, b, layout)
        .unwrap_or_else(|| mapped(x.value(), w.value(), b.map(Var::value), layout));
    let kernel = activation.kernel();
    let (y, saved_z) = match kernel {
        None => (z, None),
        Some(op) => (unary_of(op, &z), Some(z)),
    };
    let mut inputs = vec![x, w];
    inputs.extend(b);
    let (sx, sw, sb) = (x.slot(), w.slot(), b.and_then(Var::slot));
    let (recomputes, like) = (x.recomputes() || w.recomputes(), *x.shape());
    let (saved, bias) = (x.saved(), b.map(|b| b.value().clone()));
    let (input, x, w) = (x, saved, w.value().clone());
    let again = (x.clone(), w.clone(), saved_z.clone());
    let y = Var::record(y, &inputs, move |mut grad, grads| {
        let backend = backend::of(grad.device());
        if let (Some(op), Some(z)) = (kernel, &saved_z) {
            backend.unary_grad(op, z, &mut grad);
        }
        if sb.is_some() {
            let mut db = Tensor::uninit(grad.device(), [out]);
            backend.sum_rows(&grad, &mut db);
            grads.add(sb, db);
        }
        if sw.is_some() {
            let x = x.get();
            let (a, b) = match layout {
                Weights::OutIn => (&grad, &x),
                Weights::InOut => (&x, &grad),
            };
            add_product(grads, sw, [a, b], [true, false], *w.shape());
        }
        add_product(grads, sx, [&grad, &w], [false, !layout.is_transposed()], like);
    });
    let (x, w, z) = again;
    match (kernel, z) {
        (Some(op), Some(z)) => y.recomputed_by(&[], move || unary_of(op, &z)),
        _ if recomputes => {
            y.recomputed_by(&[input], move || mapped(&x.get(), &w, bias.as_ref(), layout))
        }
        _ => y,
    }
}

/// Adds a·b to the gradient of a slot.
fn add_product(
    grads: &mut Grads,
    slot: Slot,
    [a, b]: [&Tensor; 2],
    transposed: [bool; 2],
    shape: Shape,
) {
    let device = a.device().with(b.device());
    let Some((mut sum, accumulate)) = grads.take_or_uninit(slot, device, shape) else { return };
    backend::of(device).matmul(Product { a, b, transposed, accumulate }, &mut sum);
    grads.add(slot, sum);
}

/// Room for as many rows as `x` has, of `out` numbers.
fn room(x: &Tensor, out: usize, device: Device) -> Tensor {
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("a matrix product needs a dimension") = out;
    Tensor::uninit(device, &shape[..])
}

/// x·W + b with packed weights, where there are some and it is faster with them.
fn packed(x: &Var, w: &Var, b: Option<&Var>, layout: Weights) -> Option<Tensor> {
    let (packed, x) = (w.packed()?, x.value());
    let (device, (_, out)) = (x.device(), layout.sizes(w.shape()));
    let mut z = room(x, out, device);
    let product = PackedProduct { x, w: w.value(), layout, packed };
    if !backend::of(device).packed_product(product, &mut z) {
        return None;
    }
    if let Some(b) = b {
        backend::of(device).add_bias(&mut z, b.value());
    }
    Some(z)
}

/// x·W + b.
fn mapped(x: &Tensor, w: &Tensor, b: Option<&Tensor>, layout: Weights) -> Tensor {
    let (_, out) = layout.sizes(w.shape());
    let device = x.device().with(w.device());
    let mut z = room(x, out, device);
    let transposed = [false, layout.is_transposed()];
    let backend = backend::of(device);
    backend.matmul(Product { a: x, b: w, transposed, accumulate: false }, &mut z);
    if let Some(b) = b {
        backend.add_bias(&mut z, b);
    }
    z
}
