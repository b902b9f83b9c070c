//! Rows behind rows.

use crate::{
    device::Device,
    tape::Var,
    tensor::{Shape, Tensor},
};

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
    let width: usize = sa[2..].iter().product();
    let (wa, wb) = (sa[1] * width, sb[1] * width);
    let mut shape = sa.to_vec();
    shape[1] += sb[1];
    let device = a.value().device();
    let mut out = Tensor::uninit(device, &shape[..]);
    match device {
        Device::Cpu => {
            let (av, bv) = (a.value().cpu(), b.value().cpu());
            let rows = out.cpu_mut().chunks_exact_mut((wa + wb).max(1));
            for (i, row) in rows.enumerate() {
                row[..wa].copy_from_slice(&av[i * wa..(i + 1) * wa]);
                row[wa..].copy_from_slice(&bv[i * wb..(i + 1) * wb]);
            }
        }
        Device::Plan => {}
    }
    let (slot_a, slot_b) = (a.slot(), b.slot());
    Var::record(out, &[a, b], move |grad, grads| {
        let part = |shape: Shape, from: usize, width: usize| {
            let mut part = Tensor::uninit(grad.device(), shape);
            match grad.device() {
                Device::Cpu => {
                    let rows = grad.cpu().chunks_exact((wa + wb).max(1));
                    for (to, row) in part.cpu_mut().chunks_exact_mut(width.max(1)).zip(rows) {
                        to.copy_from_slice(&row[from..from + width]);
                    }
                }
                Device::Plan => {}
            }
            part
        };
        if slot_a.is_some() {
            grads.add(slot_a, part(sa, 0, wa));
        }
        if slot_b.is_some() {
            grads.add(slot_b, part(sb, wa, wb));
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
    let mut out = Tensor::uninit(x.device(), &sizes[..]);
    match x.device() {
        Device::Cpu => {
            let rows = x.cpu().chunks_exact((shape[1] * width).max(1));
            for (o, row) in out.cpu_mut().chunks_exact_mut(((to - from) * width).max(1)).zip(rows) {
                o.copy_from_slice(&row[from * width..to * width]);
            }
        }
        Device::Plan => {}
    }
    out
}
