//! Conversion between the formats of elements.

use crate::{backend, dtype::DType, tape::Var, tensor::Tensor};

/// `x` in another format, rounded to the nearest; the gradient is converted back.
pub fn cast(x: &Var, dtype: DType) -> Var {
    let (slot, from) = (x.slot(), x.value().dtype());
    Var::record(convert(x.value(), dtype), &[x], move |grad, grads| {
        grads.add(slot, convert(&grad, from));
    })
}

/// [`cast`] without gradient; shares the memory where the format is the same.
pub fn convert(x: &Tensor, dtype: DType) -> Tensor {
    if x.dtype() == dtype {
        return x.clone();
    }
    let mut out = Tensor::uninit_of(dtype, x.device(), *x.shape());
    backend::of(x.device()).convert(x, &mut out);
    out
}
