//! Linear maps with bias and activation.

use crate::{
    cpu::{
        elementwise::{self, Unary},
        gemm::{Mat, Threads, matmul},
    },
    device::Device,
    tape::{Grads, Var},
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
    let device = x.value().device();
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("a matrix product needs a dimension") = out;
    let mut z = Tensor::stale(device, &shape[..]);
    match device {
        Device::Cpu => {
            let xm = Mat::new(x.value().cpu(), inner);
            let wm = layout.view(w.value().cpu(), w.shape()[1]);
            let z = z.cpu_mut();
            matmul(z, out, [rows, out, inner], xm, wm, 1.0, false, Threads::All);
            if let Some(b) = b {
                elementwise::add_bias(z, b.value().cpu());
            }
        }
    }
    let kernel = activation.kernel();
    let (y, saved_z) = match kernel {
        None => (z, None),
        Some(op) => {
            let mut y = Tensor::stale(device, *z.shape());
            match device {
                Device::Cpu => elementwise::unary(op, z.cpu(), y.cpu_mut()),
            }
            (y, Some(z))
        }
    };
    let mut inputs = vec![x, w];
    inputs.extend(b);
    let (sx, sw, sb) = (x.slot(), w.slot(), b.and_then(Var::slot));
    let (x, w) = (x.value().clone(), w.value().clone());
    Var::record(y, &inputs, move |mut grad, grads| {
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
                let xm = Mat::new(x.cpu(), inner);
                grads.accumulate(sw, *w.shape(), &grad, |sum, fresh| match layout {
                    Weights::OutIn => matmul(
                        sum.cpu_mut(),
                        width,
                        [out, inner, rows],
                        g.t(),
                        xm,
                        1.0,
                        !fresh,
                        Threads::All,
                    ),
                    Weights::InOut => matmul(
                        sum.cpu_mut(),
                        width,
                        [inner, out, rows],
                        xm.t(),
                        g,
                        1.0,
                        !fresh,
                        Threads::All,
                    ),
                });
                grads.accumulate(sx, *x.shape(), &grad, |sum, fresh| {
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
        }
    })
}
