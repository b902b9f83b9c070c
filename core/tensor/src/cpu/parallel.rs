//! Splitting work over the thread pool, in pieces whose borders do not depend on its size.

use rayon::prelude::*;

/// About this many elements make a task worth its start.
const GRAIN: usize = 16 * 1024;

/// How many rows of `width` elements make one task.
pub(crate) fn rows_per_task(width: usize) -> usize {
    (GRAIN / width.max(1)).max(1)
}

/// Calls `f(first_row, rows)` on pieces of `out`.
pub(crate) fn rows(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let step = rows_per_task(width);
    if out.len() <= step * width {
        if !out.is_empty() {
            f(0, out);
        }
        return;
    }
    out.par_chunks_mut(step * width).enumerate().for_each(|(i, chunk)| f(i * step, chunk));
}

/// As [`rows`] over two outputs of the same number of rows.
pub(crate) fn rows2(
    a: &mut [f32],
    wa: usize,
    b: &mut [f32],
    wb: usize,
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    let step = rows_per_task(wa.max(wb));
    if a.len() <= step * wa {
        if !a.is_empty() {
            f(0, a, b);
        }
        return;
    }
    a.par_chunks_mut(step * wa)
        .zip(b.par_chunks_mut(step * wb))
        .enumerate()
        .for_each(|(i, (ca, cb))| f(i * step, ca, cb));
}

/// Calls `f(i)` for each i below `n`.
pub(crate) fn tasks(n: usize, f: impl Fn(usize) + Sync + Send) {
    (0..n).into_par_iter().with_max_len(1).for_each(f);
}

/// Sums over rows: `part(first_row, end_row, sums)` adds a block of rows to its own sums, and the
/// blocks are added up in order.
pub(crate) fn column_sums(
    rows: usize,
    width: usize,
    part: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let step = rows_per_task(width) * 4;
    let blocks = rows.div_ceil(step).max(1);
    let mut sums = vec![0.0f32; blocks * width];
    if width > 0 {
        sums.par_chunks_mut(width)
            .enumerate()
            .for_each(|(i, s)| part(i * step, ((i + 1) * step).min(rows), s));
    }
    let (first, rest) = sums.split_at_mut(width);
    if width > 0 {
        for block in rest.chunks_exact(width) {
            for (a, &b) in first.iter_mut().zip(block) {
                *a += b;
            }
        }
    }
    sums.truncate(width);
    sums
}

/// A pointer that tasks share to write disjoint places of one array.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32, usize);

// SAFETY: only `slice` reads the pointer, and its callers promise disjoint ranges.
#[allow(unsafe_code)]
unsafe impl Send for Shared {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(out: &mut [f32]) -> Self {
        Self(out.as_mut_ptr(), out.len())
    }

    /// The base address, for kernels that take strided matrices.
    pub fn at(self, offset: usize) -> *mut f32 {
        assert!(offset <= self.1, "offset {offset} of {}", self.1);
        self.0.wrapping_add(offset)
    }

    /// A part of the array.
    ///
    /// # Safety
    /// While the slice lives no other task may touch the same range, and the array must outlive it.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    pub unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [f32] {
        assert!(start <= self.1 && len <= self.1 - start, "range {start}+{len} of {}", self.1);
        // SAFETY: in bounds by the assertion; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

/// A matrix that tasks share to write disjoint places of it.
#[derive(Clone, Copy)]
pub(crate) struct SharedRows(*mut f32, usize);

// SAFETY: tasks write to places of their own only.
#[allow(unsafe_code)]
unsafe impl Send for SharedRows {}
#[allow(unsafe_code)]
unsafe impl Sync for SharedRows {}

impl SharedRows {
    /// Rows of `stride` places.
    pub fn new(out: &mut [f32], stride: usize) -> Self {
        Self::raw(out.as_mut_ptr(), stride)
    }

    /// From its first place on.
    pub fn raw(out: *mut f32, stride: usize) -> Self {
        Self(out, stride)
    }

    /// The place of an element.
    ///
    /// # Safety
    /// It must be within the matrix.
    #[allow(unsafe_code)]
    #[inline(always)]
    pub unsafe fn at(self, row: usize, column: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(row * self.1 + column) }
    }
}
