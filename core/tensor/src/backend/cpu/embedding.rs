//! Rows of a table by index, and the scatter-add that is its gradient.

use super::parallel::{DisjointMut, rows, tasks};
use crate::dtype::Element;

/// Columns that one task of the scatter owns.
const COLUMNS: usize = 64;

/// out[i] = table[ids[i]]
///
/// # Panics
/// If an id is not a row of the table.
pub(crate) fn gather<T: Element>(table: &[T], ids: &[i32], width: usize, out: &mut [T]) {
    let row = |id: i32| id as usize * width..(id as usize + 1) * width;
    rows(out, width, |first, out| {
        for (out, &id) in out.chunks_exact_mut(width).zip(&ids[first..]) {
            out.copy_from_slice(&table[row(id)]);
        }
    });
}

/// table[ids[i]] += grad[i], rows in order, except for the id `fixed`. Tasks own columns, so equal ids
/// never race.
pub(crate) fn scatter_add(
    table: &mut [f32],
    ids: &[i32],
    fixed: Option<i32>,
    width: usize,
    grad: &[f32],
) {
    let shared = DisjointMut::new(table);
    tasks(width.div_ceil(COLUMNS), |task| {
        let (from, to) = (task * COLUMNS, ((task + 1) * COLUMNS).min(width));
        for (grad, &id) in grad.chunks_exact(width).zip(ids) {
            if fixed == Some(id) {
                continue;
            }
            // SAFETY: this task alone touches columns from..to of any row.
            #[allow(unsafe_code)]
            let row = unsafe { shared.slice(id as usize * width + from, to - from) };
            for (t, &g) in row.iter_mut().zip(&grad[from..to]) {
                *t += g;
            }
        }
    });
}
