//! The nearest semi-orthogonal matrix, by a polynomial in the small Gram matrix.
//!
//! A step of Newton and Schulz is X ← P·X with P = aI + bG + cG² and G = X·Xᵀ. All P are polynomials in the
//! first G, so they commute: X stays as it was until the end, Q ← P·Q and G ← P·G·P stand for it, and every
//! product but the last is of small symmetric matrices, and half of each is computed. For a matrix of 256 × 1024
//! that is a third of the multiplications.

use super::{
    elementwise::total_squares,
    gemm::matmul,
    mat::{Gemm, Mat, Threads},
    parallel,
};
use crate::pool::Buf;

/// a, b and c of each step: Jordan et al. 2024, "Muon".
const COEFFICIENTS: [(f32, f32, f32); 5] = [(3.4445, -4.7750, 2.0315); 5];

/// Of `g` [rows, cols], into `out` of the same size.
pub(crate) fn newton_schulz(
    g: &[f32],
    [rows, cols]: [usize; 2],
    out: &mut [f32],
    threads: Threads,
) {
    let (n, k) = (rows.min(cols), rows.max(cols));
    let scale = 1.0 / (total_squares(g).sqrt() as f32 + 1e-7);
    let x = Mat::new(g, cols);
    let (left, right) = if rows <= cols { (x, x.t()) } else { (x.t(), x) };
    let square = || Buf::uninit(n * n);
    let symmetric = |out: &mut Buf, k, a: Mat<'_>, b: Mat<'_>, alpha| {
        symmetric_product(out, n, k, a, b, alpha, threads);
    };
    let (mut gram, mut p, mut other, mut q) = (square(), square(), square(), square());
    symmetric(&mut gram, k, left, right, scale * scale);
    for (step, &(a, b, c)) in COEFFICIENTS.iter().enumerate() {
        symmetric(&mut p, n, Mat::new(&gram, n), Mat::new(&gram, n), c);
        parallel::rows(&mut p, 1, |at, p| {
            p.iter_mut().zip(&gram[at..]).for_each(|(p, g)| *p += b * g);
        });
        (0..n).for_each(|i| p[i * n + i] += a);
        if step == 0 {
            q.copy_from_slice(&p);
        } else {
            symmetric(&mut other, n, Mat::new(&p, n), Mat::new(&q, n), 1.0);
            std::mem::swap(&mut q, &mut other);
        }
        if step + 1 < COEFFICIENTS.len() {
            symmetric(&mut other, n, Mat::new(&p, n), Mat::new(&gram, n), 1.0);
            symmetric(&mut gram, n, Mat::new(&other, n), Mat::new(&p, n), 1.0);
        }
    }
    let q = Mat::new(&q, n);
    let (left, right) = if rows <= cols { (q, x) } else { (x, q) };
    matmul(out, cols, Gemm::new([rows, cols, n], left, right).scaled(scale).on(threads));
}

/// Rows of a symmetric product that are computed at once.
fn block(n: usize) -> usize {
    (n / 4).next_multiple_of(32).clamp(64, 256)
}

/// out[n, n] = alpha · a[n, k] · b[k, n], known to be symmetric: what is left of the diagonal is computed, in
/// blocks, and copied to the right.
fn symmetric_product(
    out: &mut [f32],
    n: usize,
    k: usize,
    a: Mat<'_>,
    b: Mat<'_>,
    alpha: f32,
    threads: Threads,
) {
    let step = block(n);
    for from in (0..n).step_by(step) {
        let to = (from + step).min(n);
        let a = Mat { data: &a.data[from * a.row_stride..], ..a };
        matmul(
            &mut out[from * n..],
            n,
            Gemm::new([to - from, to, k], a, b).scaled(alpha).on(threads),
        );
    }
    // Within a diagonal block as well: the two halves are added up alike, but not by every kernel.
    const TILE: usize = 16;
    for row in (0..n).step_by(TILE) {
        for column in (0..=row).step_by(TILE) {
            for i in row..(row + TILE).min(n) {
                for j in column..(column + TILE).min(i) {
                    out[j * n + i] = out[i * n + j];
                }
            }
        }
    }
}
