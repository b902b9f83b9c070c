//! Two linear maps with an activation between, a block of rows at a time.

use super::{
    elementwise,
    gemm::matmul,
    mat::{Gemm, Mat},
};
use crate::{
    backend::{FeedForward, FeedForwardGradients, FeedForwardSaved, GradientSum, Weights},
    pool::Buf,
    tensor::Tensor,
};

/// Elements of the inner layer alive at once: 8 MiB. Blocks of fewer rows make the weights' gradients slower:
/// with 4 MiB the backward pass at 2048 × 512 took 14 % more than in one piece.
const BLOCK: usize = 1 << 21;

/// Rows of a block.
pub(crate) fn block_rows(rows: usize, inner: usize) -> usize {
    (BLOCK / inner.max(1)).clamp(64, 4096).min(rows.max(1))
}

/// The [in, out] view of a weight matrix.
pub(crate) fn view<'a>(w: &'a Tensor, layout: Weights) -> Mat<'a> {
    let w = Mat::new(w.cpu(), w.shape()[1]);
    if layout.is_transposed() { w.t() } else { w }
}

/// The output, and z = x·W + b into `kept` if it is given.
pub(crate) fn forward(call: &FeedForward<'_>, mut kept: Option<&mut [f32]>, out: &mut [f32]) {
    let [rows, _, inner, width] = call.sizes();
    let step = block_rows(rows, inner);
    let room = || Buf::uninit(step * inner);
    let (mut y, mut scratch) = (room(), kept.is_none().then(room));
    for from in (0..rows).step_by(step) {
        let n = step.min(rows - from);
        let y = &mut y[..n * inner];
        let z = match (&mut kept, &mut scratch) {
            (Some(kept), _) => &mut kept[from * inner..(from + n) * inner],
            (None, Some(scratch)) => &mut scratch[..n * inner],
            (None, None) => unreachable!("one of the two is there"),
        };
        inner_layer(call, from, n, z, y);
        let (ym, vm) = (Mat::new(y, inner), view(call.down, call.layout));
        let out = &mut out[from * width..(from + n) * width];
        matmul(out, width, Gemm::new([n, width, inner], ym, vm));
        elementwise::add_bias(out, call.down_bias.cpu());
    }
}

/// z = x·W + b and y = activation(z) of `n` rows.
fn inner_layer(call: &FeedForward<'_>, from: usize, n: usize, z: &mut [f32], y: &mut [f32]) {
    let [_, width, inner, _] = call.sizes();
    let xm = Mat::new(&call.x.cpu()[from * width..(from + n) * width], width);
    let wm = view(call.up, call.layout);
    matmul(z, inner, Gemm::new([n, inner, width], xm, wm));
    elementwise::biased(call.activation, z, call.up_bias.cpu(), y);
}

/// The gradients that are wanted.
pub(crate) fn backward(
    call: &FeedForward<'_>,
    saved: FeedForwardSaved<'_>,
    mut wanted: FeedForwardGradients<'_>,
) {
    let [rows, width, inner, out] = call.sizes();
    let step = block_rows(rows, inner);
    let room = || Buf::uninit(step * inner);
    let (mut y, mut dz) = (room(), room());
    let FeedForwardSaved { inner: kept, grad } = saved;
    let mut scratch = kept.is_none().then(room);
    // Without rows, too, the weights have a gradient: zeros.
    for from in (0..rows.max(1)).step_by(step) {
        let n = step.min(rows - from);
        let (y, dz) = (&mut y[..n * inner], &mut dz[..n * inner]);
        let z = match (kept, &mut scratch) {
            (Some(kept), _) => &kept.cpu()[from * inner..(from + n) * inner],
            (None, Some(scratch)) => {
                let z = &mut scratch[..n * inner];
                inner_layer(call, from, n, z, y);
                z
            }
            (None, None) => unreachable!("one of the two is there"),
        };
        let g = &grad.cpu()[from * out..(from + n) * out];
        let (gm, vm) = (Mat::new(g, out), view(call.down, call.layout));
        matmul(dz, inner, Gemm::new([n, inner, out], gm, vm.t()));
        elementwise::both(call.activation, z, y, dz);
        let (ym, dm) = (Mat::new(y, inner), Mat::new(dz, inner));
        let xm = Mat::new(&call.x.cpu()[from * width..(from + n) * width], width);
        weight_gradient(&mut wanted.down, call.layout, [inner, out, n], ym, gm, from > 0);
        weight_gradient(&mut wanted.up, call.layout, [width, inner, n], xm, dm, from > 0);
        if let Some(dx) = &mut wanted.x {
            let dx = &mut dx.cpu_mut()[from * width..(from + n) * width];
            let wm = view(call.up, call.layout).t();
            matmul(dx, width, Gemm::new([n, width, inner], dm, wm));
        }
        for (sums, rows, width) in
            [(&mut wanted.up_bias, &*dz, inner), (&mut wanted.down_bias, g, out)]
        {
            if let Some(sums) = sums {
                elementwise::add_into(sums.cpu_mut(), &elementwise::sum_rows(rows, width));
            }
        }
    }
}

/// The gradient xᵀ·G of weights, for `[in, out, rows]`; added up from the second block on.
fn weight_gradient(
    sum: &mut Option<GradientSum<'_>>,
    layout: Weights,
    [inner, out, rows]: [usize; 3],
    x: Mat<'_>,
    g: Mat<'_>,
    later: bool,
) {
    let Some(sum) = sum else { return };
    let (dims, left, right) = match layout {
        Weights::OutIn => ([out, inner, rows], g.t(), x),
        Weights::InOut => ([inner, out, rows], x.t(), g),
    };
    let (add, width) = (sum.accumulate || later, dims[1]);
    matmul(sum.to.cpu_mut(), width, Gemm::new(dims, left, right).added(add));
}
