//! The one entry to matrix products: our own kernels where they are faster, else the `gemm` crate's for f32. Its
//! result does not depend on the number of threads (a test checks it): it splits rows and columns, never the inner
//! sum.

use gemm_common::Parallelism;

use super::{
    blocked,
    mat::{Gemm, Threads, reach},
    skinny,
};

/// Below this many multiplications starting threads costs more than it brings.
const PARALLEL_FROM: usize = 64 * 64 * 64;

/// Computes the product into `out`, row-major with `out_stride`.
///
/// # Panics
/// If a view reaches beyond its slice.
pub(crate) fn matmul(out: &mut [f32], out_stride: usize, product: Gemm<'_>) {
    let [m, n, _] = product.sizes;
    let end = reach(m, n, out_stride, 1);
    assert!(end <= out.len(), "matmul: output [{m}, {n}] reaches {end} of {}", out.len());
    // SAFETY: `out` is an exclusive slice that holds the output, by the assertion.
    #[allow(unsafe_code)]
    unsafe {
        matmul_raw(out.as_mut_ptr(), out_stride, product);
    }
}

/// [`matmul`] into a place that other tasks write around.
///
/// # Safety
/// The m × n places that start at `out` with row stride `out_stride` must be valid for writes, and
/// no other thread may touch them meanwhile.
#[allow(unsafe_code)]
pub(crate) unsafe fn matmul_raw(out: *mut f32, out_stride: usize, product: Gemm<'_>) {
    let Gemm { sizes: [m, n, k], a, b, alpha, accumulate, threads } = product;
    a.check("left side", m, k);
    b.check("right side", k, n);
    if m == 0 || n == 0 {
        return;
    }
    // Few rows, and weights as they lie.
    if m <= skinny::MOST_ROWS
        && (alpha, accumulate) == (1.0, false)
        && (a.col_stride, b.row_stride) == (1, 1)
        && skinny::available()
    {
        let (x, w) = ((a.data, a.row_stride), (b.data, b.col_stride));
        // SAFETY: both inputs were checked to hold their matrices; the caller vouches for the output.
        unsafe { skinny::product(out, out_stride, [m, n, k], x, w, threads == Threads::All) };
        return;
    }
    if blocked::serves(&product) {
        // SAFETY: as above.
        unsafe { blocked::product(out, out_stride, product) };
        return;
    }
    let parallelism = match threads {
        Threads::All if m * n * k >= PARALLEL_FROM && rayon::current_num_threads() > 1 => {
            Parallelism::Rayon(0)
        }
        _ => Parallelism::None,
    };
    // The crate's kernels go down columns, so a row-major output is made as its transpose, bᵀ·aᵀ.
    let ((m, n), (down, across)) =
        if out_stride > 1 { ((n, m), (b.t(), a.t())) } else { ((m, n), (a, b)) };
    // SAFETY: both inputs were checked to hold their matrices; the caller vouches for the output.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            m,
            n,
            k,
            out,
            out_stride as isize,
            1,
            accumulate,
            down.data.as_ptr(),
            down.col_stride as isize,
            down.row_stride as isize,
            across.data.as_ptr(),
            across.col_stride as isize,
            across.row_stride as isize,
            1.0f32,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::{
        mat::Mat,
        reference::{SIZES, noise},
    };

    #[test]
    fn matches_f64_and_any_thread_count() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        // Beyond a block of places and of rows, with an odd rest of each; and nothing to add up.
        let large = [[300, 257, 513], [133, 97, 1031], [4, 4, 0]];
        for [m, n, k] in SIZES.into_iter().chain(large) {
            let (a, b) = (noise(m * k, 1), noise(k * n, 2));
            for (ta, tb) in [(false, false), (true, false), (false, true)] {
                let av = if ta { Mat::new(&a, m).t() } else { Mat::new(&a, k) };
                let bv = if tb { Mat::new(&b, k).t() } else { Mat::new(&b, n) };
                let run = |threads| {
                    let mut c = vec![1.0f32; m * n];
                    let product = Gemm::new([m, n, k], av, bv).scaled(0.5).added(true);
                    matmul(&mut c, n, product.on(threads));
                    c
                };
                let one = run(Threads::One);
                assert_eq!(one, pool.install(|| run(Threads::All)), "{m} {n} {k}");
                for i in 0..m {
                    for j in 0..n {
                        let want: f64 = (0..k)
                            .map(|x| {
                                let p = av.data[i * av.row_stride + x * av.col_stride];
                                let q = bv.data[x * bv.row_stride + j * bv.col_stride];
                                f64::from(p) * f64::from(q)
                            })
                            .sum::<f64>()
                            * 0.5
                            + 1.0;
                        let got = f64::from(one[i * n + j]);
                        assert!(
                            (got - want).abs() < 1e-5 * (1.0 + k as f64),
                            "{m} {n} {k} {ta} {tb}: {got} {want}"
                        );
                    }
                }
            }
        }
    }
}
