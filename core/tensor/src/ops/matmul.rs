//! The bare product of two matrices, without gradient.

use crate::{
    backend::{self, Product},
    tensor::Tensor,
};

/// a·b, each of them transposed first where `transposed` says so.
///
/// # Panics
/// If the two are not matrices that fit.
pub fn matmul(a: &Tensor, b: &Tensor, transposed: [bool; 2]) -> Tensor {
    let product = Product { a, b, transposed, accumulate: false };
    let matrices = a.shape().len() == 2 && b.shape().len() == 2;
    let [m, n, k] = product.sizes();
    let inner = b.rows();
    assert!(
        matrices && k == if transposed[1] { inner.1 } else { inner.0 },
        "matmul: {:?} and {:?}, transposed: {transposed:?}",
        a.shape(),
        b.shape()
    );
    let device = a.device().with(b.device());
    let mut out = Tensor::uninit(device, [m, n]);
    backend::of(device).matmul(product, &mut out);
    out
}
