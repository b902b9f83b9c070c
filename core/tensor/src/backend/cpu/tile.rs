//! The kernel of matrix products: a few rows with a panel of 32 columns.
//!
//! A panel holds, for each place of k, the numbers of its columns side by side, so that every lane of a register
//! is an output, nothing is added up across lanes, and a number of the left side is spread over a register as
//! it is loaded. Eight rows and two registers a row keep both multiply-add units of an AVX-512 core busy. AVX2 has
//! half as many registers of half the width: from four rows on it goes through the panel twice, half of the columns
//! each time, so that two loads from the second cache feed up to twelve multiply-adds.

use std::ops::Range;

use super::{
    mat::Mat,
    parallel::DisjointRows,
    simd::{Level, level},
};

/// Columns of a panel.
pub(crate) const COLUMNS: usize = 32;

/// Rows that the kernel takes at once: 0 without one.
pub(crate) fn most_rows() -> usize {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => 8,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => 6,
        Level::Plain => 0,
    }
}

/// Whether memory keeps up with fetching a whole panel while one group of rows is at work.
pub(crate) fn fetches_at_once() -> bool {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => true,
        _ => false,
    }
}

/// Rows of the left side.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    /// The first number.
    pub at: *const f32,
    /// From a row to the next.
    pub row: usize,
    /// From a place of k to the next.
    pub step: usize,
    /// At most [`most_rows`].
    pub rows: usize,
}

/// Where sums go.
#[derive(Clone, Copy)]
pub(crate) struct Store {
    pub out: DisjointRows,
    pub row: usize,
    pub column: usize,
    /// Columns that are the output's.
    pub width: usize,
    /// Factor on the sums.
    pub alpha: f32,
    /// Whether they are added to what is there.
    pub add: bool,
}

/// Cache lines to fetch for later, `per` at each place of k.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    pub from: *const f32,
    pub per: usize,
}

impl Ahead {
    pub fn nothing() -> Self {
        Self { from: std::ptr::null(), per: 0 }
    }
}

/// Writes places `k` of columns `first..` (of `columns`) of a matrix as a panel; zeros behind the last column.
///
/// # Panics
/// If the view reaches beyond its slice, or the panel is too short.
pub(crate) fn pack(w: Mat<'_>, k: Range<usize>, first: usize, columns: usize, panel: &mut [f32]) {
    let width = COLUMNS.min(columns - first);
    for (i, row) in k.zip(panel.chunks_exact_mut(COLUMNS)) {
        let from = i * w.row_stride + first * w.col_stride;
        if w.col_stride == 1 {
            row[..width].copy_from_slice(&w.data[from..from + width]);
        } else {
            for (c, to) in row[..width].iter_mut().enumerate() {
                *to = w.data[from + c * w.col_stride];
            }
        }
        row[width..].fill(0.0);
    }
}

/// Rows times a panel of `k` places.
///
/// # Safety
/// `left` must hold its rows of k places, and the output's places be the caller's alone; there must be a kernel.
///
/// # Panics
/// If the panel is too short.
#[allow(unsafe_code)]
pub(crate) unsafe fn product(left: Left, panel: &[f32], k: usize, store: Store, ahead: Ahead) {
    assert!(panel.len() >= k * COLUMNS, "tile: a panel of {} for {k} places", panel.len());
    // SAFETY: the level was found on this processor; the rest is the caller's promise.
    unsafe {
        match level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512::rows(left, panel.as_ptr(), k, store, ahead),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2::rows(left, panel.as_ptr(), k, store, ahead),
            Level::Plain => unreachable!("no kernel for this processor"),
        }
    }
}

/// The kernel for one width of registers.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    ($name:ident, $features:literal, $registers:ident, [$($rows:literal x $vectors:literal)*], $most:literal) => {
        #[allow(unsafe_code)]
        mod $name {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

            use super::{Ahead, COLUMNS, Left, Store};
            use crate::backend::cpu::simd::$registers::*;

            /// `R` rows, `V` registers of each at a time.
            ///
            /// # Safety
            /// As [`rows`].
            #[target_feature(enable = $features)]
            unsafe fn block<const R: usize, const V: usize>(
                left: Left,
                panel: *const f32,
                k: usize,
                store: Store,
                ahead: Ahead,
            ) {
                for first in (0..COLUMNS).step_by(V * LANES) {
                    let ahead = if first == 0 { ahead } else { Ahead::nothing() };
                    // SAFETY: the caller's promise.
                    unsafe { part::<R, V>(left, panel, k, store, ahead, first) };
                }
            }

            /// The same for columns from `first` on of the panel.
            ///
            /// # Safety
            /// As [`rows`]; the columns must be the panel's.
            #[target_feature(enable = $features)]
            unsafe fn part<const R: usize, const V: usize>(
                left: Left,
                panel: *const f32,
                k: usize,
                store: Store,
                ahead: Ahead,
                first: usize,
            ) {
                if first >= store.width {
                    return;
                }
                let width = (store.width - first).min(V * LANES);
                // SAFETY: rows of the left side, by the caller's promise.
                let x: [*const f32; R] =
                    std::array::from_fn(|r| unsafe { left.at.add(r * left.row) });
                let mut sums: [[Floats; V]; R] = [[zero(); V]; R];
                let mut place = 0;
                for i in 0..k {
                    for line in 0..ahead.per {
                        // Fetching never faults, wherever it points.
                        let at = ahead.from.wrapping_add((i * ahead.per + line) * 16);
                        _mm_prefetch::<_MM_HINT_T1>(at.cast());
                    }
                    let mut w = [zero(); V];
                    for (v, w) in w.iter_mut().enumerate() {
                        // SAFETY: a panel has k times COLUMNS numbers.
                        *w = unsafe { load(panel.add(i * COLUMNS + first + v * LANES)) };
                    }
                    for (sums, x) in sums.iter_mut().zip(x) {
                        // SAFETY: a row has k places.
                        let x = all(unsafe { *x.add(place) });
                        for (sum, w) in sums.iter_mut().zip(w) {
                            *sum = fma(x, w, *sum);
                        }
                    }
                    place += left.step;
                }
                let alpha = all(store.alpha);
                for (r, sums) in sums.into_iter().enumerate() {
                    // SAFETY: the output's places, by the caller's promise; else those of `some`.
                    unsafe {
                        let out = store.out.at(store.row + r, store.column + first);
                        let mut some = [0.0f32; COLUMNS];
                        let whole = width == V * LANES;
                        if !whole && store.add {
                            std::ptr::copy_nonoverlapping(out, some.as_mut_ptr(), width);
                        }
                        let to = if whole { out } else { some.as_mut_ptr() };
                        for (v, sum) in sums.into_iter().enumerate() {
                            let to = to.add(v * LANES);
                            let sum = match store.add {
                                true => fma(alpha, sum, load(to)),
                                false => mul(alpha, sum),
                            };
                            put(to, sum);
                        }
                        if !whole {
                            std::ptr::copy_nonoverlapping(some.as_ptr(), out, width);
                        }
                    }
                }
            }

            /// As many rows as there are, up to the most.
            ///
            /// # Safety
            /// The processor must have the features; the left side must hold its rows, the panel k times
            /// COLUMNS numbers, and the output's places be the caller's alone.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn rows(
                left: Left,
                panel: *const f32,
                k: usize,
                store: Store,
                ahead: Ahead,
            ) {
                // SAFETY: the caller's promise.
                unsafe {
                    match left.rows {
                        $($rows => block::<$rows, $vectors>(left, panel, k, store, ahead),)*
                        _ => block::<$most, 2>(left, panel, k, store, ahead),
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel!(avx512, "avx512f", bits512, [1 x 2 2 x 2 3 x 2 4 x 2 5 x 2 6 x 2 7 x 2], 8);

#[cfg(target_arch = "x86_64")]
kernel!(avx2, "avx2,fma", bits256, [1 x 4 2 x 4 3 x 4 4 x 2 5 x 2], 6);
