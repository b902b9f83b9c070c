//! Dropout: Srivastava et al. 2014, scaled at training time.

use crate::{backend, rng::Rng, tape::Var, tensor::Tensor};

/// Zeroes each element with probability `p`, scales the others by 1/(1-p). The choice depends on
/// `key` and the element's index alone; the backward pass makes it again instead of saving it.
///
/// # Panics
/// If `p` is not in [0, 1).
pub fn dropout(x: &Var, p: f32, key: Rng) -> Var {
    assert!((0.0..1.0).contains(&p), "dropout: probability {p}");
    if p == 0.0 {
        return x.clone();
    }
    let drop = move |x: &Tensor| {
        let mut y = Tensor::uninit(x.device(), *x.shape());
        backend::of(x.device()).dropout(x, key, p, &mut y);
        y
    };
    let slot = x.slot();
    Var::record(drop(x.value()), &[x], move |grad, grads| grads.add(slot, drop(&grad)))
        .recomputed_like(x, move |x| drop(&x))
}
