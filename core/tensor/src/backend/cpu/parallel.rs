//! Splitting work over the thread pool, in pieces with borders that do not depend on its size.

use super::team;

/// About this many elements make a task worth its start.
const GRAIN: usize = 16 * 1024;

/// How many rows of `width` elements make one task.
pub(crate) fn rows_per_task(width: usize) -> usize {
    (GRAIN / width.max(1)).max(1)
}

/// Calls `f(first_row, rows)` on pieces of `out`.
pub(crate) fn rows<T: Send>(out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let step = rows_per_task(width);
    chunks(out, step * width, |i, chunk| f(i * step, chunk));
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
    chunks2(a, step * wa, b, step * wb, |i, a, b| f(i * step, a, b));
}

/// Calls `f(i)` for each i below `n`.
pub(crate) fn tasks(n: usize, f: impl Fn(usize) + Sync) {
    team::run(n, f);
}

/// Calls `f(i, chunk)` on chunks of `size`, the last one as large as is left.
///
/// # Panics
/// If `size` is 0 and there is something.
pub(crate) fn chunks<T: Send>(out: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let shared = DisjointMut::new(out);
    tasks(out.len().div_ceil(size.max(1)), |i| {
        let start = i * size;
        // SAFETY: chunks do not overlap.
        #[allow(unsafe_code)]
        f(i, unsafe { shared.slice(start, size.min(shared.1 - start)) });
    });
}

/// As [`chunks`] over two, with as many chunks as the first has.
///
/// # Panics
/// If the second has fewer.
pub(crate) fn chunks2<T: Send, U: Send>(
    a: &mut [T],
    size_a: usize,
    b: &mut [U],
    size_b: usize,
    f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    let shared = DisjointMut::new(b);
    chunks(a, size_a, |i, a| {
        let start = i * size_b;
        // SAFETY: chunks do not overlap.
        #[allow(unsafe_code)]
        f(i, a, unsafe { shared.slice(start, size_b.min(shared.1 - start)) });
    });
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
    chunks(&mut sums, width, |i, s| part(i * step, ((i + 1) * step).min(rows), s));
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
pub(crate) struct DisjointMut<T = f32>(*mut T, usize);

impl<T> Clone for DisjointMut<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for DisjointMut<T> {}

// SAFETY: only `slice` reads the pointer, and its callers promise disjoint ranges.
#[allow(unsafe_code)]
unsafe impl<T: Send> Send for DisjointMut<T> {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for DisjointMut<T> {}

impl<T> DisjointMut<T> {
    pub fn new(out: &mut [T]) -> Self {
        Self(out.as_mut_ptr(), out.len())
    }

    /// The base address, for kernels that take strided matrices.
    pub fn at(self, offset: usize) -> *mut T {
        assert!(offset <= self.1, "offset {offset} of {}", self.1);
        self.0.wrapping_add(offset)
    }

    /// A part of the array.
    ///
    /// # Safety
    /// While the slice lives no other task may touch the same range, and the array must outlive it.
    #[allow(unsafe_code, clippy::mut_from_ref)]
    pub unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [T] {
        assert!(start <= self.1 && len <= self.1 - start, "range {start}+{len} of {}", self.1);
        // SAFETY: in bounds by the assertion; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

/// A matrix that tasks share to write disjoint places of it.
#[derive(Clone, Copy)]
pub(crate) struct DisjointRows(*mut f32, usize);

// SAFETY: tasks write to places of their own only.
#[allow(unsafe_code)]
unsafe impl Send for DisjointRows {}
#[allow(unsafe_code)]
unsafe impl Sync for DisjointRows {}

impl DisjointRows {
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
