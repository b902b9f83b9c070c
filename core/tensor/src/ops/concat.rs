//! Rows behind rows, and parts of rows.

use crate::{
    backend::{self, Columns},
    tape::Var,
    tensor::{Shape, Tensor},
};

/// The columns `from..` of rows of `stride` elements of `x`, as a tensor of this shape.
fn part(x: &Tensor, stride: usize, from: usize, width: usize, shape: impl Into<Shape>) -> Tensor {
    let mut out = Tensor::uninit(x.device(), shape);
    let (at, to_at) = (Columns { stride, offset: from }, Columns { stride: width, offset: 0 });
    backend::of(x.device()).copy_columns((x, at), (&mut out, to_at), width);
    out
}

/// [batch, m, …] and [batch, n, …] as [batch, m + n, …]; the gradient is cut at the same place.
///
/// # Panics
/// If they differ in more than the second size.
pub fn concat(a: &Var, b: &Var) -> Var {
    let (sa, sb) = (*a.shape(), *b.shape());
    assert!(
        sa.len() >= 2 && sa.len() == sb.len() && sa[0] == sb[0] && sa[2..] == sb[2..],
        "concat: {sa:?} and {sb:?}"
    );
    let inner: usize = sa[2..].iter().product();
    let (wa, wb) = (sa[1] * inner, sb[1] * inner);
    let stride = wa + wb;
    let mut shape = sa.to_vec();
    shape[1] += sb[1];
    let device = a.value().device();
    let mut out = Tensor::uninit(device, &shape[..]);
    for (x, width, offset) in [(a.value(), wa, 0), (b.value(), wb, wa)] {
        let (at, to_at) = (Columns { stride: width, offset: 0 }, Columns { stride, offset });
        backend::of(device).copy_columns((x, at), (&mut out, to_at), width);
    }
    let (slot_a, slot_b) = (a.slot(), b.slot());
    Var::record(out, &[a, b], move |grad, grads| {
        if slot_a.is_some() {
            grads.add(slot_a, part(&grad, stride, 0, wa, sa));
        }
        if slot_b.is_some() {
            grads.add(slot_b, part(&grad, stride, wa, wb, sb));
        }
    })
}

/// Places `from..to` of the second dimension of [batch, time, …], without gradient.
///
/// # Panics
/// If the range is not within it.
pub fn places(x: &Tensor, from: usize, to: usize) -> Tensor {
    let shape = *x.shape();
    assert!(shape.len() >= 2 && from <= to && to <= shape[1], "places {from}..{to} of {shape:?}");
    let width: usize = shape[2..].iter().product();
    let mut sizes = shape.to_vec();
    sizes[1] = to - from;
    part(x, shape[1] * width, from * width, (to - from) * width, &sizes[..])
}

/// Columns `from..to` of the last dimension, without gradient: one part of a packed projection.
///
/// # Panics
/// If the range is not within the row.
pub fn columns(x: &Tensor, from: usize, to: usize) -> Tensor {
    let (_, width) = x.rows();
    assert!(from <= to && to <= width, "columns {from}..{to} of {:?}", x.shape());
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = to - from;
    }
    part(x, width, from, to - from, &shape[..])
}

/// The rows of [m, …] and then those of [n, …] as [m + n, …], of any dtype, without gradient.
///
/// # Panics
/// If they differ in dtype or in more than the first size.
pub fn append_rows(a: &Tensor, b: &Tensor) -> Tensor {
    let (sa, sb) = (*a.shape(), *b.shape());
    assert!(
        !sa.is_empty() && sa.len() == sb.len() && sa[1..] == sb[1..] && a.dtype() == b.dtype(),
        "append_rows: {sa:?} and {sb:?}"
    );
    let mut shape = sa.to_vec();
    shape[0] += sb[0];
    let device = a.device().with(b.device());
    let mut out = Tensor::uninit_of(a.dtype(), device, &shape[..]);
    let stride = out.len();
    for (x, offset) in [(a, 0), (b, a.len())].into_iter().filter(|(x, _)| !x.is_empty()) {
        let at = Columns { stride: x.len(), offset: 0 };
        let to = (&mut out, Columns { stride, offset });
        backend::of(device).copy_columns((x, at), to, x.len());
    }
    out
}
