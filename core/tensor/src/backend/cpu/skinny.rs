//! Products of a few rows with a whole weight matrix, as in writing text token by token:
//! out[m, n] = x[m, k] · w[n, k]ᵀ, both row-major.
//!
//! Such a product waits for memory, so the weights are read once, as they lie: each sum is a dot product along
//! k, kept in a register. A general kernel would pack the weights first, which costs more than the product.
//! Each element is added up in one order, whatever m and the number of threads.

use super::{
    parallel::{self, DisjointRows},
    simd::{Level, level},
};

/// Rows up to which this is the faster way (measured on Zen 5, width 512: see docs/log.md).
pub(crate) const MOST_ROWS: usize = 32;

/// Outputs of a task.
const COLUMNS: usize = 64;

/// Below this many multiplications starting threads costs more than it brings.
pub(super) const PARALLEL_FROM: usize = 1 << 17;

/// Whether this processor has a kernel for it.
pub(crate) fn available() -> bool {
    level() != Level::Plain
}

/// out[m, n] = x[m, k] · w[n, k]ᵀ with row strides `xs`, `ws` and `stride`.
///
/// # Safety
/// The m × n places from `out` on with its row stride must be valid for writes, and no other thread may
/// touch them meanwhile. `x` and `w` must hold their matrices, and `available` be true.
#[allow(unsafe_code)]
pub(crate) unsafe fn product(
    out: *mut f32,
    stride: usize,
    [m, n, k]: [usize; 3],
    (x, xs): (&[f32], usize),
    (w, ws): (&[f32], usize),
    threads: bool,
) {
    let out = DisjointRows::raw(out, stride);
    let task = |first: usize| {
        let columns = first..(first + COLUMNS).min(n);
        // SAFETY: the level was found on this processor; sizes are the caller's promise.
        match level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::columns(out, [m, k], (x, xs), (w, ws), columns) },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::columns(out, [m, k], (x, xs), (w, ws), columns) },
            Level::Plain => {}
        }
    };
    let tasks = n.div_ceil(COLUMNS);
    if threads && m * n * k >= PARALLEL_FROM {
        parallel::tasks(tasks, |i| task(i * COLUMNS));
    } else {
        (0..tasks).for_each(|i| task(i * COLUMNS));
    }
}

/// The kernel for one width of registers: `$rows` × 4 sums at a time.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    ($name:ident, $features:literal, $registers:ident, $rows:literal, $part:item, $sums:item) => {
        #[allow(unsafe_code)]
        mod $name {
            use std::{arch::x86_64::*, ops::Range};

            use super::DisjointRows;
            use crate::backend::cpu::simd::$registers::*;

            const ROWS: usize = $rows;

            $part
            $sums

            /// `R` rows of x with 4 rows of w.
            ///
            /// # Safety
            /// As [`columns`].
            #[target_feature(enable = $features)]
            unsafe fn block<const R: usize>(
                out: DisjointRows,
                [row, column]: [usize; 2],
                k: usize,
                x: [*const f32; R],
                w: [*const f32; 4],
                (width, ahead): (usize, usize),
            ) {
                let from = w;
                let mut sums: [[Floats; 4]; R] = [[zero(); 4]; R];
                let whole = k / LANES * LANES;
                let mut i = 0;
                while i < whole {
                    // SAFETY: i + LANES is at most k, which each row has.
                    let w = unsafe { w.map(|w| load(w.add(i))) };
                    if row == 0 {
                        // The next columns' weights: a row is too short for the processor to foresee them.
                        for from in from {
                            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(i + ahead).cast());
                        }
                    }
                    for (sums, x) in sums.iter_mut().zip(x) {
                        // SAFETY: as above.
                        let x = unsafe { load(x.add(i)) };
                        for (sum, w) in sums.iter_mut().zip(w) {
                            *sum = fma(x, w, *sum);
                        }
                    }
                    i += LANES;
                }
                if i < k {
                    // SAFETY: `part` reads k - i numbers.
                    let w = unsafe { w.map(|w| part(w.add(i), k - i)) };
                    for (sums, x) in sums.iter_mut().zip(x) {
                        // SAFETY: as above.
                        let x = unsafe { part(x.add(i), k - i) };
                        for (sum, w) in sums.iter_mut().zip(w) {
                            *sum = fma(x, w, *sum);
                        }
                    }
                }
                for (r, sums) in sums.into_iter().enumerate() {
                    let mut four = [0.0f32; 4];
                    // SAFETY: four numbers are written; `width` of them belong to the output.
                    unsafe {
                        _mm_storeu_ps(four.as_mut_ptr(), fold(sums));
                        let to = out.at(row + r, column);
                        std::ptr::copy_nonoverlapping(four.as_ptr(), to, width);
                    }
                }
            }

            /// Some columns of the product.
            ///
            /// # Safety
            /// The processor must have the features; the slices must hold their matrices, and the output's
            /// columns be the caller's alone.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn columns(
                out: DisjointRows,
                [m, k]: [usize; 2],
                (x, xs): (&[f32], usize),
                (w, ws): (&[f32], usize),
                columns: Range<usize>,
            ) {
                for column in columns.clone().step_by(4) {
                    let width = (columns.end - column).min(4);
                    // Beyond the last column the last one is read again.
                    let w: [*const f32; 4] =
                        std::array::from_fn(|i| w[(column + i.min(width - 1)) * ws..].as_ptr());
                    let mut row = 0;
                    while row < m {
                        let at = [row, column];
                        let x = |i: usize| x[(row + i) * xs..].as_ptr();
                        // SAFETY: rows and columns are within the matrices.
                        unsafe {
                            match (m - row).min(ROWS) {
                                1 => block::<1>(out, at, k, [x(0)], w, (width, 4 * ws)),
                                2 => block::<2>(out, at, k, [x(0), x(1)], w, (width, 4 * ws)),
                                3 => block::<3>(out, at, k, [x(0), x(1), x(2)], w, (width, 4 * ws)),
                                _ => block::<4>(out, at, k, [x(0), x(1), x(2), x(3)], w, (width, 4 * ws)),
                            }
                        }
                        row += (m - row).min(ROWS);
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel!(
    avx512,
    "avx512f,avx512dq,avx512vl",
    bits512,
    4,
    /// The first `n` numbers, zeros behind.
    ///
    /// # Safety
    /// They must be valid for reads.
    #[target_feature(enable = "avx512f")]
    unsafe fn part(from: *const f32, n: usize) -> Floats {
        // SAFETY: the mask keeps to n numbers.
        unsafe { _mm512_maskz_loadu_ps((1u32 << n) as u16 - 1, from) }
    },
    /// The sum of each of four registers.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    fn fold([a, b, c, d]: [Floats; 4]) -> __m128 {
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
        let lo = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        let hi = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        let four = _mm512_add_ps(lo, hi);
        let two = _mm256_add_ps(_mm512_castps512_ps256(four), _mm512_extractf32x8_ps::<1>(four));
        _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps::<1>(two))
    }
);

#[cfg(target_arch = "x86_64")]
kernel!(
    avx2,
    "avx2,fma",
    bits256,
    2,
    /// The first `n` numbers, zeros behind.
    ///
    /// # Safety
    /// They must be valid for reads.
    #[target_feature(enable = "avx2")]
    unsafe fn part(from: *const f32, n: usize) -> Floats {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lanes);
        // SAFETY: the mask keeps to n numbers.
        unsafe { _mm256_maskload_ps(from, mask) }
    },
    /// The sum of each of four registers.
    #[target_feature(enable = "avx2")]
    fn fold([a, b, c, d]: [Floats; 4]) -> __m128 {
        let two = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
        _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps::<1>(two))
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::reference::{assert_sum, noise};

    #[test]
    #[allow(unsafe_code)]
    fn matches_f64_and_no_row_depends_on_the_others() {
        if !available() {
            return;
        }
        for [m, n, k] in
            [[1, 1, 1], [3, 5, 7], [7, 130, 33], [32, 67, 100], [4, 4, 16], [2, 300, 513]]
        {
            let (x, w) = (noise(m * k, 1), noise(n * k, 2));
            let run = |x: &[f32], m: usize, threads| {
                let mut out = vec![7.0f32; m * (n + 1)];
                // SAFETY: the output has m rows of n + 1.
                unsafe {
                    product(out.as_mut_ptr(), n + 1, [m, n, k], (x, k), (&w, k), threads);
                }
                out
            };
            let all = run(&x, m, true);
            assert_eq!(all, run(&x, m, false));
            for i in 0..m {
                assert_eq!(all[i * (n + 1) + n], 7.0, "behind the row");
                let alone = run(&x[i * k..(i + 1) * k], 1, false);
                assert_eq!(alone[..n], all[i * (n + 1)..i * (n + 1) + n]);
                for j in 0..n {
                    let terms = (0..k).map(|l| f64::from(x[i * k + l]) * f64::from(w[j * k + l]));
                    assert_sum(&format!("{m} {n} {k}"), alone[j], terms, 1e-6);
                }
            }
        }
    }
}
