//! Linear maps with bias and activation.

use crate::{
    cpu::{
        elementwise::{self, Unary},
        gemm::{Threads, matmul},
        mat::Mat,
    },
    device::Device,
    packed::Laid,
    tape::{Grads, Slot, Var},
    tensor::Tensor,
};

/// How a weight matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// [out, in]: PyTorch's `nn.Linear`.
    OutIn,
    /// [in, out]: GPT-2's `Conv1D`.
    InOut,
}

impl Weights {
    /// (in, out) of a matrix stored so.
    pub(crate) fn sizes(self, shape: &[usize]) -> (usize, usize) {
        match (self, shape) {
            (Self::OutIn, &[out, inner]) => (inner, out),
            (Self::InOut, &[inner, out]) => (inner, out),
            _ => panic!("linear: weights of shape {shape:?}, a matrix was expected"),
        }
    }

    /// The [in, out] view.
    pub(crate) fn view(self, data: &[f32], width: usize) -> Mat<'_> {
        match self {
            Self::OutIn => Mat::new(data, width).t(),
            Self::InOut => Mat::new(data, width),
        }
    }
}

/// The non-linearity after a linear map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// x·Φ(x), by erf: Hendrycks and Gimpel 2016.
    Gelu,
    /// GELU's tanh form, `gelu_new` in GPT-2.
    GeluTanh,
    /// x·sigmoid(x).
    Silu,
    /// max(0, x).
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    pub(crate) fn kernel(self) -> Option<Unary> {
        match self {
            Self::None => None,
            Self::Gelu => Some(Unary::Gelu),
            Self::GeluTanh => Some(Unary::GeluTanh),
            Self::Silu => Some(Unary::Silu),
            Self::Relu => Some(Unary::Relu),
            Self::Tanh => Some(Unary::Tanh),
        }
    }
}

/// activation(x·W + b) over the last dimension of `x`.
///
/// With z = x·W + b and G the gradient of z: dx = G·Wᵀ, dW = xᵀ·G, db = Σ rows of G.
///
/// # Panics
/// If the sizes do not fit.
pub fn linear(x: &Var, w: &Var, b: Option<&Var>, layout: Weights, activation: Activation) -> Var {
    let (rows, inner) = x.value().rows();
    let (win, out) = layout.sizes(w.shape());
    assert_eq!(inner, win, "linear: input {:?} with {layout:?} weights {:?}", x.shape(), w.shape());
    if let Some(b) = b {
        assert_eq!(b.shape()[..], [out], "linear: bias {:?} for {out} outputs", b.shape());
    }
    let slot = w.packed().filter(|_| x.value().device() == Device::Cpu);
    let z = match slot.and_then(|slot| slot.laid(w.value(), layout, rows)) {
        Some(laid) => by_layout(x.value(), laid, b.map(Var::value), out),
        None => mapped(x.value(), w.value(), b.map(Var::value), layout),
    };
    let kernel = activation.kernel();
    let (y, saved_z) = match kernel {
        None => (z, None),
        Some(op) => (activated(op, &z), Some(z)),
    };
    let mut inputs = vec![x, w];
    inputs.extend(b);
    let (sx, sw, sb) = (x.slot(), w.slot(), b.and_then(Var::slot));
    let (recomputes, like) = (x.recomputes() || w.recomputes(), *x.shape());
    let (saved, bias) = (x.saved(), b.map(|b| b.value().clone()));
    let (input, x, w) = (x, saved, w.value().clone());
    let again = (x.clone(), w.clone(), saved_z.clone());
    let y = Var::record(y, &inputs, move |mut grad, grads| {
        let width = w.shape()[1];
        match grad.device() {
            Device::Cpu => {
                if let (Some(op), Some(z)) = (kernel, &saved_z) {
                    elementwise::unary_grad(op, z.cpu(), grad.cpu_mut());
                }
                let g = Mat::new(grad.cpu(), out);
                if Grads::wants(sb) {
                    let sums = elementwise::sum_rows(grad.cpu(), out);
                    grads.add(sb, Tensor::from_slice(grad.device(), &sums, [out]));
                }
                let x = if Grads::wants(sw) { x.get() } else { grad.clone() };
                let xm = Mat::new(x.cpu(), inner);
                weight_gradient(grads, sw, layout, &w, [inner, out, rows], xm, g);
                grads.accumulate(sx, like, &grad, |sum, fresh| {
                    let wt = layout.view(w.cpu(), width).t();
                    matmul(
                        sum.cpu_mut(),
                        inner,
                        [rows, inner, out],
                        g,
                        wt,
                        1.0,
                        !fresh,
                        Threads::All,
                    );
                });
            }
            Device::Plan => {
                if saved_z.is_some() {
                    grad.own();
                }
                if Grads::wants(sb) {
                    grads.add(sb, Tensor::uninit(Device::Plan, [out]));
                }
                let _x = Grads::wants(sw).then(|| x.get());
                grads.accumulate(sw, *w.shape(), &w, |_, _| ());
                grads.accumulate(sx, like, &grad, |_, _| ());
            }
        }
    });
    let (x, w, z) = again;
    match (kernel, z) {
        (Some(op), Some(z)) => y.remade_by(&[], move || activated(op, &z)),
        _ if recomputes => {
            y.remade_by(&[input], move || mapped(&x.get(), &w, bias.as_ref(), layout))
        }
        _ => y,
    }
}

/// Adds xᵀ·G to the gradient of the weights `w` for `[in, out, rows]`.
pub(super) fn weight_gradient(
    grads: &mut Grads,
    slot: Slot,
    layout: Weights,
    w: &Tensor,
    [inner, out, rows]: [usize; 3],
    x: Mat<'_>,
    g: Mat<'_>,
) {
    let (dims, left, right) = match layout {
        Weights::OutIn => ([out, inner, rows], g.t(), x),
        Weights::InOut => ([inner, out, rows], x.t(), g),
    };
    grads.accumulate(slot, *w.shape(), w, |sum, fresh| {
        let width = dims[1];
        matmul(sum.cpu_mut(), width, dims, left, right, 1.0, !fresh, Threads::All);
    });
}

/// Room for as many rows as `x` has, of `out` numbers.
fn room(x: &Tensor, out: usize, device: Device) -> Tensor {
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("a matrix product needs a dimension") = out;
    Tensor::uninit(device, &shape[..])
}

/// x·W + b with weights laid out anew.
fn by_layout(x: &Tensor, laid: &Laid, b: Option<&Tensor>, out: usize) -> Tensor {
    let (rows, _) = x.rows();
    let mut z = room(x, out, x.device());
    laid.product(x.cpu(), rows, z.cpu_mut());
    if let Some(b) = b {
        elementwise::add_bias(z.cpu_mut(), b.cpu());
    }
    z
}

/// x·W + b.
fn mapped(x: &Tensor, w: &Tensor, b: Option<&Tensor>, layout: Weights) -> Tensor {
    let (rows, inner) = x.rows();
    let (_, out) = layout.sizes(w.shape());
    let device = x.device().with(w.device());
    let mut z = room(x, out, device);
    match device {
        Device::Cpu => {
            let (xm, wm) = (Mat::new(x.cpu(), inner), layout.view(w.cpu(), w.shape()[1]));
            let z = z.cpu_mut();
            matmul(z, out, [rows, out, inner], xm, wm, 1.0, false, Threads::All);
            if let Some(b) = b {
                elementwise::add_bias(z, b.cpu());
            }
        }
        Device::Plan => {}
    }
    z
}

fn activated(op: Unary, z: &Tensor) -> Tensor {
    let mut y = Tensor::uninit(z.device(), *z.shape());
    match z.device() {
        Device::Cpu => elementwise::unary(op, z.cpu(), y.cpu_mut()),
        Device::Plan => {}
    }
    y
}
