//! Matrix products of middling size, and large ones of few columns and many places, as most gradients of weights
//! are: out[m, n] = alpha · a[m, k] · b[k, n] (+ out), in blocks that caches hold (Goto and van
//! de Geijn 2008, "Anatomy of high-performance matrix multiplication").
//!
//! The right side is packed into panels of 32 columns and [`PLACES`] places of k, once for all rows. A task takes a
//! block of rows through some panels: whole blocks of k, one after another, so each element is added up in an
//! order that depends on k alone. The left side is read as it lies, unless its rows are not contiguous.

use std::{cell::RefCell, ops::Range, sync::Mutex};

use super::{
    mat::{Gemm, Mat, Threads},
    parallel::{self, DisjointRows},
    simd::{Level, level},
    tile::{self, Ahead, COLUMNS, Left, Store},
};

/// Places of k in a block: a panel takes 64 KiB, which the second cache holds beside a block of rows.
const PLACES: usize = 512;

/// Rows of a task.
const ROWS: usize = 128;

/// Numbers of the right side that are packed at once: 16 MiB.
const PACKED: usize = 1 << 22;

/// Columns of a task at least, so that packing rows of the left side pays.
const TASK_COLUMNS: usize = 512;

/// From this many multiplications to that many it is faster than the gemm crate, by a tenth to a half (Zen 5: see
/// docs/log.md).
const SIZES: Range<usize> = 1 << 22..1 << 28;

/// Rows from which the gemm crate is as fast.
const MANY: usize = 1024;

/// Most numbers of a right side with contiguous columns that are worth packing.
const TURNED: usize = 1 << 21;

/// Room for panels that is kept from one product to the next.
static ROOM: Mutex<Vec<f32>> = Mutex::new(Vec::new());

thread_local! {
    /// Room for a block of rows.
    static LEFT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Whether this is the faster way: measured with AVX-512 only, and on all threads.
pub(crate) fn serves(Gemm { sizes: [m, n, k], a, b, .. }: &Gemm<'_>) -> bool {
    let (m, n, k) = (*m, *n, *k);
    let wide = match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => true,
        _ => false,
    };
    let work = m.saturating_mul(n).saturating_mul(k);
    let middling = m < MANY
        && SIZES.contains(&work)
        && a.col_stride == 1
        && (b.col_stride == 1 || n * k <= TURNED);
    let narrow = work >= SIZES.end && n >= 512 && k / 4 >= n;
    wide && m >= 16 && n >= COLUMNS && (middling || narrow)
}

/// The product, on all threads or one: the same bytes.
///
/// # Safety
/// The m × n places from `out` on with row stride `stride` must be valid for writes, and no other thread may
/// touch them meanwhile. `a` and `b` must hold their matrices, and there must be a kernel.
#[allow(unsafe_code)]
pub(crate) unsafe fn product(out: *mut f32, stride: usize, product: Gemm<'_>) {
    let Gemm { sizes: [m, n, k], a, b, alpha, accumulate, threads } = product;
    let threads = threads == Threads::All;
    let out = DisjointRows::raw(out, stride);
    let mut room = ROOM.try_lock().map(|mut room| std::mem::take(&mut *room)).unwrap_or_default();
    let columns =
        (PACKED / k.max(1)).clamp(COLUMNS, n.next_multiple_of(COLUMNS)) / COLUMNS * COLUMNS;
    for first in (0..n).step_by(columns) {
        let end = (first + columns).min(n);
        let panels = (end - first).div_ceil(COLUMNS);
        room.resize(room.len().max(panels * COLUMNS * k), 0.0);
        let pack = |p: usize, panel: &mut [f32]| {
            tile::pack(b, 0..k, first + p * COLUMNS, end, panel);
        };
        let packed = &mut room[..panels * COLUMNS * k];
        match threads {
            true => parallel::chunks(packed, COLUMNS * k, pack),
            false => packed.chunks_mut(COLUMNS * k).enumerate().for_each(|(p, l)| pack(p, l)),
        }
        let packed = &room[..];
        let groups = (panels * COLUMNS / TASK_COLUMNS).max(1);
        let task = |task: usize| {
            let (block, group) = (task / groups, task % groups);
            let rows = block * ROWS..((block + 1) * ROWS).min(m);
            for from in (0..k).step_by(PLACES) {
                let places = PLACES.min(k - from);
                with_left(a, rows.clone(), from, places, |lefts| {
                    for p in group * panels / groups..(group + 1) * panels / groups {
                        let panel = &packed[(p * k + from) * COLUMNS..][..places * COLUMNS];
                        let next = panel.as_ptr().wrapping_add(k * COLUMNS);
                        for (i, left) in lefts.iter().enumerate() {
                            let column = first + p * COLUMNS;
                            let store = Store {
                                out,
                                row: rows.start + i * tile::most_rows(),
                                column,
                                width: COLUMNS.min(end - column),
                                alpha,
                                add: accumulate || from > 0,
                            };
                            let ahead = match i {
                                1 => Ahead { from: next, per: 1 },
                                2 => Ahead { from: next.wrapping_add(places * 16), per: 1 },
                                _ => Ahead::nothing(),
                            };
                            // SAFETY: rows and places are within the left side, and this block of the
                            // output is this task's alone.
                            unsafe { tile::product(*left, panel, places, store, ahead) };
                        }
                    }
                });
            }
        };
        let tasks = m.div_ceil(ROWS) * groups;
        match threads {
            true => parallel::tasks(tasks, task),
            false => (0..tasks).for_each(task),
        }
    }
    if let Ok(mut kept) = ROOM.try_lock() {
        *kept = room;
    }
}

/// Calls `f` with the groups of rows of a block, read as they lie where k is contiguous, else from a copy.
fn with_left(a: Mat<'_>, rows: Range<usize>, from: usize, places: usize, f: impl FnOnce(&[Left])) {
    let most = tile::most_rows();
    let groups = rows.len().div_ceil(most);
    let size = |g: usize| most.min(rows.len() - g * most);
    let mut lefts = [Left { at: std::ptr::null(), row: 0, step: 0, rows: 0 }; ROWS];
    if a.col_stride == 1 {
        for (g, left) in lefts[..groups].iter_mut().enumerate() {
            let at = a.data[(rows.start + g * most) * a.row_stride + from..].as_ptr();
            *left = Left { at, row: a.row_stride, step: 1, rows: size(g) };
        }
        return f(&lefts[..groups]);
    }
    LEFT.with_borrow_mut(|room| {
        room.resize(room.len().max(groups * most * places), 0.0);
        for i in 0..places {
            let line = (from + i) * a.col_stride + rows.start * a.row_stride;
            for g in 0..groups {
                let to = &mut room[(g * places + i) * most..][..size(g)];
                let at = line + g * most * a.row_stride;
                if a.row_stride == 1 && to.len() == 8 {
                    // A length that the compiler knows: no call for eight numbers.
                    to[..8].copy_from_slice(&a.data[at..at + 8]);
                } else {
                    for (r, to) in to.iter_mut().enumerate() {
                        *to = a.data[at + r * a.row_stride];
                    }
                }
            }
        }
        for (g, left) in lefts[..groups].iter_mut().enumerate() {
            let at = room[g * places * most..].as_ptr();
            *left = Left { at, row: 1, step: most, rows: size(g) };
        }
        f(&lefts[..groups]);
    });
}
