//! Products of rows with a packed weight matrix, for generating many texts at once:
//! out[m, n] = x[m, k] · W[k, n].
//!
//! The weights are in panels of 32 outputs (see [`tile`](super::tile)). A panel is read once from memory and
//! then, for the other rows, from the cache, while the next panel is fetched. Each output is added up along k in
//! order, whatever m and the number of threads.

use super::{
    mat::Mat,
    parallel::{self, DisjointRows},
    skinny::PARALLEL_FROM,
    tile::{self, Ahead, COLUMNS, Left, Store},
};
use crate::pool::Buf;

/// Weights in panels.
pub(crate) struct Panels {
    data: Buf,
    inner: usize,
    outputs: usize,
}

impl Panels {
    /// Whether this processor has a kernel for it.
    pub fn available() -> bool {
        tile::most_rows() > 0
    }

    /// Packs a matrix [inner, outputs].
    ///
    /// # Panics
    /// If the view reaches beyond its slice.
    pub fn new(w: Mat<'_>, inner: usize, outputs: usize) -> Self {
        let panel = (inner * COLUMNS).max(1);
        let mut data = Buf::uninit(outputs.div_ceil(COLUMNS) * panel);
        parallel::chunks(&mut data, panel, |p, panel| {
            tile::pack(w, 0..inner, p * COLUMNS, outputs, panel);
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
        let out = DisjointRows::new(out, n);
        let groups = m.div_ceil(tile::most_rows());
        let at_once = tile::fetches_at_once();
        let task = |p: usize| {
            let panel = &self.data[p * k * COLUMNS..(p + 1) * k * COLUMNS];
            let next = panel.as_ptr().wrapping_add(panel.len());
            for group in 0..groups {
                let (from, to) = (group * m / groups, (group + 1) * m / groups);
                // What is fetched meanwhile: the stream that is being read, or the next panel, in one or two parts.
                let ahead = match (groups, group) {
                    (1, _) => Ahead { from: panel.as_ptr().wrapping_add(1024), per: 2 },
                    (2, 1) if at_once => Ahead { from: next, per: 2 },
                    (2, _) if !at_once => Ahead { from: next.wrapping_add(group * k * 16), per: 1 },
                    (3.., 1) => Ahead { from: next, per: 1 },
                    (3.., 2) => Ahead { from: next.wrapping_add(k * 16), per: 1 },
                    _ => Ahead::nothing(),
                };
                let left = Left { at: x[from * k..].as_ptr(), row: k, step: 1, rows: to - from };
                let store = Store {
                    out,
                    row: from,
                    column: p * COLUMNS,
                    width: COLUMNS.min(n - p * COLUMNS),
                    alpha: 1.0,
                    add: false,
                };
                // SAFETY: the slices hold their matrices, and the columns of a panel are one task's alone.
                #[allow(unsafe_code)]
                unsafe {
                    tile::product(left, panel, k, store, ahead);
                }
            }
        };
        let panels = n.div_ceil(COLUMNS);
        if threads && m * n * k >= PARALLEL_FROM {
            parallel::tasks(panels, task);
        } else {
            (0..panels).for_each(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::reference::{SIZES, assert_sum, noise};

    #[test]
    fn matches_f64_and_no_row_depends_on_the_others() {
        if !Panels::available() {
            return;
        }
        for [m, n, k] in SIZES {
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
                    for (j, got) in alone.iter().enumerate() {
                        let weight = |l: usize| w.data[l * w.row_stride + j * w.col_stride];
                        let terms = (0..k).map(|l| f64::from(x[i * k + l]) * f64::from(weight(l)));
                        assert_sum(&format!("{m} {n} {k}"), *got, terms, 1e-6);
                    }
                }
            }
        }
    }
}
