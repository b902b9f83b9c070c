//! Products of rows with a weight matrix that was laid out for it, as in writing many texts at once:
//! out[m, n] = x[m, k] · W[k, n].
//!
//! The weights stand in panels of 32 outputs, those of one place of k side by side, so that every lane of a
//! register is an output and nothing is added up across lanes. A panel is read once from memory and then, for
//! the other rows, from the cache, while the next panel is fetched. Each output is added up along k in order,
//! whatever m and the number of threads.

use rayon::prelude::*;

use super::{
    gemm::Mat,
    simd::{Level, level},
    skinny::{Out, PARALLEL_FROM},
};
use crate::pool::Buf;

/// Outputs of a panel.
const COLUMNS: usize = 32;

/// Weights in panels.
pub(crate) struct Panels {
    data: Buf,
    inner: usize,
    outputs: usize,
}

impl Panels {
    /// Whether this processor has a kernel for it.
    pub fn available() -> bool {
        level() != Level::Plain
    }

    /// Lays out a matrix [inner, outputs].
    ///
    /// # Panics
    /// If the view reaches beyond its slice.
    pub fn new(w: Mat<'_>, inner: usize, outputs: usize) -> Self {
        let panel = (inner * COLUMNS).max(1);
        let mut data = Buf::stale(outputs.div_ceil(COLUMNS) * panel);
        data.par_chunks_mut(panel).enumerate().for_each(|(p, panel)| {
            let width = COLUMNS.min(outputs - p * COLUMNS);
            for (i, row) in panel.chunks_exact_mut(COLUMNS).enumerate() {
                let from = i * w.row_stride + p * COLUMNS * w.col_stride;
                for (c, to) in row[..width].iter_mut().enumerate() {
                    *to = w.data[from + c * w.col_stride];
                }
                row[width..].fill(0.0);
            }
        });
        Self { data, inner, outputs }
    }

    /// out[m, outputs] = x[m, inner] · W.
    ///
    /// # Panics
    /// If a slice has another size, or without [`available`](Self::available).
    pub fn product(&self, x: &[f32], m: usize, out: &mut [f32], threads: bool) {
        let (k, n) = (self.inner, self.outputs);
        assert!(x.len() == m * k && out.len() == m * n, "packed product: sizes differ");
        if k == 0 {
            out.fill(0.0);
            return;
        }
        let out = Out::new(out, n);
        let task = |p: usize| {
            let width = COLUMNS.min(n - p * COLUMNS);
            let panel = &self.data[p * k * COLUMNS..(p + 1) * k * COLUMNS];
            // SAFETY: the level was found on this processor; the slices hold their matrices, and the
            // columns of a panel are one task's alone.
            #[allow(unsafe_code)]
            unsafe {
                match level() {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => avx512::rows(x, [m, k], panel, out, p * COLUMNS, width),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => avx2::rows(x, [m, k], panel, out, p * COLUMNS, width),
                    Level::Plain => unreachable!("no kernel for this processor"),
                }
            }
        };
        let panels = n.div_ceil(COLUMNS);
        if threads && m * n * k >= PARALLEL_FROM {
            (0..panels).into_par_iter().for_each(task);
        } else {
            (0..panels).for_each(task);
        }
    }
}

/// The kernel for one width of registers: up to `$most` rows at a time.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    ($name:ident, $features:literal, $lanes:literal, $most:literal, $vector:ty, $zero:ident, $load:ident, $store:ident,
     $all:ident, $fma:ident) => {
        #[allow(unsafe_code)]
        mod $name {
            use std::arch::x86_64::*;

            use super::{COLUMNS, Out};

            const LANES: usize = $lanes;
            const VECTORS: usize = COLUMNS / LANES;
            const MOST: usize = $most;

            /// Cache lines to fetch for later, `per` at each place of k.
            #[derive(Clone, Copy)]
            struct Ahead {
                from: *const f32,
                per: usize,
            }

            /// `R` rows with one panel.
            ///
            /// # Safety
            /// As [`rows`].
            #[target_feature(enable = $features)]
            unsafe fn block<const R: usize>(
                x: [*const f32; R],
                panel: *const f32,
                k: usize,
                out: [*mut f32; R],
                width: usize,
                ahead: Ahead,
            ) {
                let mut sums: [[$vector; VECTORS]; R] = [[$zero(); VECTORS]; R];
                for i in 0..k {
                    for line in 0..ahead.per {
                        // Fetching never faults, wherever it points.
                        let at = ahead.from.wrapping_add((i * ahead.per + line) * 16);
                        _mm_prefetch::<_MM_HINT_T1>(at.cast());
                    }
                    let mut w = [$zero(); VECTORS];
                    for (v, w) in w.iter_mut().enumerate() {
                        // SAFETY: a panel has k times COLUMNS numbers.
                        *w = unsafe { $load(panel.add(i * COLUMNS + v * LANES)) };
                    }
                    for (sums, x) in sums.iter_mut().zip(x) {
                        // SAFETY: a row of x has k numbers.
                        let x = $all(unsafe { *x.add(i) });
                        for (sum, w) in sums.iter_mut().zip(w) {
                            *sum = $fma(x, w, *sum);
                        }
                    }
                }
                for (sums, out) in sums.into_iter().zip(out) {
                    let mut all = [0.0f32; COLUMNS];
                    let whole = width == COLUMNS;
                    let to = if whole { out } else { all.as_mut_ptr() };
                    for (v, sum) in sums.into_iter().enumerate() {
                        // SAFETY: COLUMNS places are the output's, or those of `all`.
                        unsafe { $store(to.add(v * LANES), sum) };
                    }
                    if !whole {
                        // SAFETY: `width` places are the output's.
                        unsafe { std::ptr::copy_nonoverlapping(all.as_ptr(), out, width) };
                    }
                }
            }

            /// All rows with one panel, whose `width` outputs begin at `column`.
            ///
            /// # Safety
            /// The processor must have the features; x must hold m rows of k, the panel k times COLUMNS, and the
            /// output's columns be the caller's alone.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn rows(
                x: &[f32],
                [m, k]: [usize; 2],
                panel: &[f32],
                out: Out,
                column: usize,
                width: usize,
            ) {
                let next = panel.as_ptr().wrapping_add(panel.len());
                let groups = m.div_ceil(MOST);
                for group in 0..groups {
                    let (from, to) = (group * m / groups, (group + 1) * m / groups);
                    // The panel's second half of lines, its first, both, or the stream that is being read.
                    let ahead = match (groups, group) {
                        (1, _) => Ahead { from: panel.as_ptr().wrapping_add(1024), per: 2 },
                        (2, 1) => Ahead { from: next, per: 2 },
                        (3.., 1) => Ahead { from: next, per: 1 },
                        (3.., 2) => Ahead { from: next.wrapping_add(k * 16), per: 1 },
                        _ => Ahead { from: next, per: 0 },
                    };
                    macro_rules! of {
                        ($count:literal) => {{
                            let x: [*const f32; $count] =
                                std::array::from_fn(|r| x[(from + r) * k..].as_ptr());
                            // SAFETY: the caller's promise.
                            unsafe {
                                let out = std::array::from_fn(|r| out.at(from + r, column));
                                block::<$count>(x, panel.as_ptr(), k, out, width, ahead);
                            }
                        }};
                    }
                    match to - from {
                        1 => of!(1),
                        2 => of!(2),
                        3 => of!(3),
                        4 => of!(4),
                        5 => of!(5),
                        6 => of!(6),
                        7 => of!(7),
                        _ => of!(8),
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel!(
    avx512,
    "avx512f",
    16,
    8,
    __m512,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps
);

#[cfg(target_arch = "x86_64")]
kernel!(
    avx2,
    "avx2,fma",
    8,
    2,
    __m256,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_f64_and_no_row_depends_on_the_others() {
        if !Panels::available() {
            return;
        }
        let noise = |n: usize, seed| {
            let mut x = vec![0.0; n];
            crate::Rng::new(seed).fill_normal(&mut x, 0.0, 1.0);
            x
        };
        for [m, n, k] in [
            [1, 1, 1],
            [3, 5, 7],
            [9, 130, 33],
            [32, 67, 100],
            [17, 32, 16],
            [41, 300, 513],
            [8, 64, 1],
        ] {
            let (x, w) = (noise(m * k, 1), noise(n * k, 2));
            // Stored [out, in], and [in, out].
            for w in [Mat::new(&w, k).t(), Mat::new(&w, n)] {
                let panels = Panels::new(w, k, n);
                let run = |x: &[f32], m: usize, threads| {
                    let mut out = vec![7.0f32; m * n];
                    panels.product(x, m, &mut out, threads);
                    out
                };
                let all = run(&x, m, true);
                assert_eq!(all, run(&x, m, false));
                for i in 0..m {
                    let alone = run(&x[i * k..(i + 1) * k], 1, false);
                    assert_eq!(alone[..], all[i * n..(i + 1) * n]);
                    for j in 0..n {
                        let weight = |l: usize| w.data[l * w.row_stride + j * w.col_stride];
                        let terms = (0..k).map(|l| f64::from(x[i * k + l]) * f64::from(weight(l)));
                        let (want, size) =
                            terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + f64::abs(t)));
                        let off = (f64::from(alone[j]) - want).abs();
                        assert!(off <= 1e-6 * size, "{m} {n} {k}: {off}");
                    }
                }
            }
        }
    }
}
