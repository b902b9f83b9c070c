//! The bare product of two matrices, without gradient.

use crate::{
    cpu::{
        gemm::{self, Threads},
        mat::Mat,
    },
    device::Device,
    tensor::Tensor,
};

/// a·b, each of them turned (transposed) first where `turned` says so.
///
/// # Panics
/// If the two are not matrices that fit.
pub fn matmul(a: &Tensor, b: &Tensor, turned: [bool; 2]) -> Tensor {
    let sizes = |x: &Tensor, turned: bool| match x.shape()[..] {
        [rows, columns] if turned => [columns, rows],
        [rows, columns] => [rows, columns],
        _ => panic!("matmul: shape {:?}", x.shape()),
    };
    let ([m, k], [inner, n]) = (sizes(a, turned[0]), sizes(b, turned[1]));
    assert_eq!(k, inner, "matmul: {:?} and {:?}, turned: {turned:?}", a.shape(), b.shape());
    let device = a.device().with(b.device());
    let mut out = Tensor::uninit(device, [m, n]);
    match device {
        Device::Cpu => {
            let view = |x, width: usize, turned| {
                let x = Mat::new(x, width);
                if turned { x.t() } else { x }
            };
            let left = view(a.cpu(), a.shape()[1], turned[0]);
            let right = view(b.cpu(), b.shape()[1], turned[1]);
            gemm::matmul(out.cpu_mut(), n, [m, n, k], left, right, 1.0, false, Threads::All);
        }
        Device::Plan => {}
    }
    out
}
