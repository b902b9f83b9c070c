//! Two linear maps with an activation between: Vaswani et al. 2017, section 3.3.

use crate::{
    cpu::{
        elementwise::{self, Unary},
        gemm::{Threads, matmul},
        mat::Mat,
    },
    device::Device,
    ops::{Activation, Weights, linear, linear::weight_gradient},
    tape::{Grads, Slot, Var},
    tensor::{Shape, Tensor},
};

/// Elements of the inner layer alive at once: 8 MiB. Blocks of fewer rows make the weights' gradients slower:
/// with 4 MiB the backward pass at 2048 × 512 took 14 % more than in one piece.
const BLOCK: usize = 1 << 21;

/// One of the two maps.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    /// The weights.
    pub weight: &'a Var,
    /// The bias [out].
    pub bias: &'a Var,
}

/// Sizes: rows, in, inner, out.
#[derive(Clone, Copy)]
struct Dims {
    rows: usize,
    width: usize,
    inner: usize,
    out: usize,
    layout: Weights,
    kernel: Unary,
}

impl Dims {
    /// Rows at a time.
    fn step(&self) -> usize {
        (BLOCK / self.inner.max(1)).clamp(64, 4096).min(self.rows.max(1))
    }

    /// Room for the inner layer of these.
    fn block(&self, device: Device) -> Tensor {
        Tensor::uninit(device, [self.step(), self.inner])
    }
}

/// activation(x·W + b)·V + c over the last dimension of `x`, [`linear`](crate::ops::linear) twice. The
/// inner layer exists for a block of rows at a time; what is kept of it is z = x·W + b, from which the
/// backward pass makes both the activation and its slope.
///
/// With G the gradient of the output, dY = G·Vᵀ and dZ = dY·activation'(z): dV = Yᵀ·G, dW = xᵀ·dZ,
/// dx = dZ·Wᵀ, and the biases' gradients are the sums of the rows of G and dZ.
///
/// # Panics
/// If the sizes do not fit.
pub fn feed_forward(
    x: &Var,
    up: Affine<'_>,
    down: Affine<'_>,
    layout: Weights,
    activation: Activation,
) -> Var {
    let (rows, width) = x.value().rows();
    let (win, inner) = layout.sizes(up.weight.shape());
    let (mid, out) = layout.sizes(down.weight.shape());
    assert!(
        win == width
            && mid == inner
            && up.bias.shape()[..] == [inner]
            && down.bias.shape()[..] == [out],
        "feed_forward: {:?} with {:?} and {:?}",
        x.shape(),
        up.weight.shape(),
        down.weight.shape()
    );
    let kernel = activation.kernel().filter(|_| up.weight.packed().is_none());
    let Some(kernel) = kernel else {
        // Nothing to fuse, or weights in panels.
        let inner = linear(x, up.weight, Some(up.bias), layout, activation);
        return linear(&inner, down.weight, Some(down.bias), layout, Activation::None);
    };
    let dims = Dims { rows, width, inner, out, layout, kernel };
    let inputs = [x, up.weight, up.bias, down.weight, down.bias];
    let learns = inputs.iter().any(|v| v.needs_grad());
    let recomputes = inputs.iter().any(|v| v.recomputes());
    let device = x.value().device();
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("a matrix product needs a dimension") = out;
    let mut y = Tensor::uninit(device, &shape[..]);
    let mut kept = (learns && !recomputes).then(|| Tensor::uninit(device, [rows, inner]));
    let weights = inputs.map(|v| v.value().clone());
    match device {
        Device::Cpu => forward(dims, &weights, kept.as_mut().map(Tensor::cpu_mut), y.cpu_mut()),
        Device::Plan => {
            let _blocks = (dims.block(device), kept.is_none().then(|| dims.block(device)));
        }
    }
    let slots = inputs.map(Var::slot);
    let saved = x.saved();
    let [_, w, b, v, c] = weights;
    let like = *x.shape();
    Var::record(y, &inputs, move |grad, grads| {
        let values = [saved.get(), w, b, v, c];
        backward(dims, &values, kept.as_ref(), &grad, grads, slots, like);
    })
}

/// Adds the gradients of all five inputs where they are wanted.
fn backward(
    dims: Dims,
    values: &[Tensor; 5],
    kept: Option<&Tensor>,
    grad: &Tensor,
    grads: &mut Grads,
    slots: [Slot; 5],
    like: Shape,
) {
    let [x, w, b, v, c] = values;
    let Dims { width, inner, out, .. } = dims;
    let [sx, sw, sb, sv, sc] = slots;
    let device = grad.device();
    let step = dims.step();
    let mut dx = Grads::wants(sx).then(|| Tensor::uninit(device, like));
    let (mut y, mut dz) = (dims.block(device), dims.block(device));
    let mut scratch = kept.is_none().then(|| dims.block(device));
    let (mut db, mut dc) = (vec![0.0; inner], vec![0.0; out]);
    let rows = match device {
        Device::Cpu => dims.rows.max(1),
        Device::Plan => {
            grads.accumulate(sv, *v.shape(), v, |_, _| ());
            grads.accumulate(sw, *w.shape(), w, |_, _| ());
            0
        }
    };
    // Of no rows, too, the weights have a gradient: zeros.
    for from in (0..rows).step_by(step) {
        let n = step.min(dims.rows - from);
        let (y, dz) = (&mut y.cpu_mut()[..n * inner], &mut dz.cpu_mut()[..n * inner]);
        let z = match (kept, &mut scratch) {
            (Some(kept), _) => &kept.cpu()[from * inner..(from + n) * inner],
            (None, Some(scratch)) => {
                let z = &mut scratch.cpu_mut()[..n * inner];
                self::inner(dims, values, from, n, z, y);
                z
            }
            (None, None) => unreachable!("one of the two is there"),
        };
        let g = &grad.cpu()[from * out..(from + n) * out];
        let gm = Mat::new(g, out);
        let vm = dims.layout.view(v.cpu(), v.shape()[1]);
        matmul(dz, inner, [n, inner, out], gm, vm.t(), 1.0, false, Threads::All);
        elementwise::both(dims.kernel, z, y, dz);
        let (ym, dm) = (Mat::new(y, inner), Mat::new(dz, inner));
        let xm = Mat::new(&x.cpu()[from * width..(from + n) * width], width);
        weight_gradient(grads, sv, dims.layout, v, [inner, out, n], ym, gm);
        weight_gradient(grads, sw, dims.layout, w, [width, inner, n], xm, dm);
        if let Some(dx) = &mut dx {
            let dx = &mut dx.cpu_mut()[from * width..(from + n) * width];
            let wm = dims.layout.view(w.cpu(), w.shape()[1]).t();
            matmul(dx, width, [n, width, inner], dm, wm, 1.0, false, Threads::All);
        }
        for (slot, sums, rows, width) in [(sb, &mut db, &*dz, inner), (sc, &mut dc, g, out)] {
            if Grads::wants(slot) {
                elementwise::add_into(sums, &elementwise::sum_rows(rows, width));
            }
        }
    }
    for (slot, sums, like) in [(sb, db, b), (sc, dc, c)] {
        grads.add(slot, Tensor::from_slice(device, &sums, *like.shape()));
    }
    if let Some(dx) = dx {
        grads.add(sx, dx);
    }
}

fn forward(dims: Dims, values: &[Tensor; 5], mut kept: Option<&mut [f32]>, out: &mut [f32]) {
    let [x, _, _, v, c] = values;
    let step = dims.step();
    let mut y = dims.block(x.device());
    let mut scratch = kept.is_none().then(|| dims.block(x.device()));
    for from in (0..dims.rows).step_by(step) {
        let n = step.min(dims.rows - from);
        let y = &mut y.cpu_mut()[..n * dims.inner];
        let z = match (&mut kept, &mut scratch) {
            (Some(kept), _) => &mut kept[from * dims.inner..(from + n) * dims.inner],
            (None, Some(scratch)) => &mut scratch.cpu_mut()[..n * dims.inner],
            (None, None) => unreachable!("one of the two is there"),
        };
        inner(dims, values, from, n, z, y);
        let ym = Mat::new(y, dims.inner);
        let vm = dims.layout.view(v.cpu(), v.shape()[1]);
        let out = &mut out[from * dims.out..(from + n) * dims.out];
        matmul(out, dims.out, [n, dims.out, dims.inner], ym, vm, 1.0, false, Threads::All);
        elementwise::add_bias(out, c.cpu());
    }
}

/// z = x·W + b and y = activation(z) of `n` rows.
fn inner(dims: Dims, values: &[Tensor; 5], from: usize, n: usize, z: &mut [f32], y: &mut [f32]) {
    let [x, w, b, ..] = values;
    let xm = Mat::new(&x.cpu()[from * dims.width..(from + n) * dims.width], dims.width);
    let wm = dims.layout.view(w.cpu(), w.shape()[1]);
    matmul(z, dims.inner, [n, dims.inner, dims.width], xm, wm, 1.0, false, Threads::All);
    elementwise::biased(dims.kernel, z, b.cpu(), y);
}
