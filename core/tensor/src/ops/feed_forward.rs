//! Two linear maps with an activation between: Vaswani et al. 2017, section 3.3.

use crate::{
    backend::{self, FeedForward, FeedForwardGradients, FeedForwardSaved, GradientSum, Weights},
    ops::{Activation, linear},
    tape::Var,
    tensor::Tensor,
};

/// One of the two maps.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    /// The weights.
    pub weight: &'a Var,
    /// The bias [out].
    pub bias: &'a Var,
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
    let Some(activation) = kernel else {
        // Nothing to fuse, or packed weights.
        let inner = linear(x, up.weight, Some(up.bias), layout, activation);
        return linear(&inner, down.weight, Some(down.bias), layout, Activation::None);
    };
    let inputs = [x, up.weight, up.bias, down.weight, down.bias];
    let learns = inputs.iter().any(|v| v.needs_grad());
    let recomputes = inputs.iter().any(|v| v.recomputes());
    let device = x.value().device();
    let mut shape = x.shape().to_vec();
    *shape.last_mut().expect("a matrix product needs a dimension") = out;
    let mut y = Tensor::uninit(device, &shape[..]);
    let mut kept = (learns && !recomputes).then(|| Tensor::uninit(device, [rows, inner]));
    let weights = inputs.map(|v| v.value().clone());
    let [x_value, w, b, v, c] = &weights;
    let call =
        FeedForward { x: x_value, up: w, up_bias: b, down: v, down_bias: c, layout, activation };
    backend::of(device).feed_forward(&call, kept.as_mut(), &mut y);
    let [sx, sw, sb, sv, sc] = inputs.map(Var::slot);
    let saved = x.saved();
    let [_, w, b, v, c] = weights;
    let like = *x.shape();
    Var::record(y, &inputs, move |grad, grads| {
        let (x, device) = (saved.get(), grad.device());
        let mut dx = sx.map(|_| Tensor::uninit(device, like));
        let mut dw = grads.take_or_uninit(sw, device, *w.shape());
        let mut dv = grads.take_or_uninit(sv, device, *v.shape());
        let mut db = sb.map(|_| Tensor::zeros(device, *b.shape()));
        let mut dc = sc.map(|_| Tensor::zeros(device, *c.shape()));
        let call =
            FeedForward { x: &x, up: &w, up_bias: &b, down: &v, down_bias: &c, layout, activation };
        let saved = FeedForwardSaved { inner: kept.as_ref(), grad: &grad };
        let wanted = FeedForwardGradients {
            x: dx.as_mut(),
            up: dw.as_mut().map(GradientSum::new),
            up_bias: db.as_mut(),
            down: dv.as_mut().map(GradientSum::new),
            down_bias: dc.as_mut(),
        };
        backend::of(device).feed_forward_grad(&call, saved, wanted);
        let sums = [(sw, dw), (sv, dv)].map(|(slot, sum)| (slot, sum.map(|(sum, _)| sum)));
        for (slot, gradient) in sums.into_iter().chain([(sb, db), (sc, dc), (sx, dx)]) {
            if let Some(gradient) = gradient {
                grads.add(slot, gradient);
            }
        }
    })
}
