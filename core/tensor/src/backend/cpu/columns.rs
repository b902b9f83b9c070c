//! Copies of columns between matrices.

use crate::backend::Columns;

/// Copies `width` columns, for as many rows as there are in both.
///
/// # Panics
/// If the columns are not within a row.
pub(crate) fn copy<T: Copy>(from: &[T], at: Columns, to: &mut [T], to_at: Columns, width: usize) {
    let rows = from.chunks_exact(at.stride.max(1));
    for (to, from) in to.chunks_exact_mut(to_at.stride.max(1)).zip(rows) {
        to[to_at.offset..][..width].copy_from_slice(&from[at.offset..][..width]);
    }
}
