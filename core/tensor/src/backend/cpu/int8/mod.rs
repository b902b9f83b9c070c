//! Products of rows with a weight matrix in int8: out[m, n] = x[m, k] · W[k, n].
//!
//! Weights and rows are quantised alike: [`BLOCK`] places along k share a scale, the block's largest magnitude
//! divided by 127, and a number is its scale times an integer from -127 to 127, the nearest (llama.cpp's Q8_0
//! does the same with blocks of 32 and an f16 scale). Rows are quantised as they come, for each product. A block's products are
//! added up exactly, in 32 bits; its sum times both scales is added to the output in f32, block by block in the
//! order of k, whatever m and the number of threads.
//!
//! AVX-512 VNNI and AVX-VNNI multiply unsigned by signed bytes. Weights are what is stored as unsigned, q + 128:
//! the sum is then too large by 128 times the sum of the row's block, and that, being one number for a block of a
//! row, is where the sum begins, negative. An offset on the rows would need such a number for each output, to be
//! kept and read with the weights.

mod kernels;
mod rows;

use super::{
    mat::Mat,
    parallel::{self, DisjointRows},
    skinny::PARALLEL_FROM,
};
use crate::pool::Buf;
use kernels::{Job, Kernel};
use rows::Rows;

/// Places of k that share a scale.
const BLOCK: usize = 64;

/// Outputs of a panel.
const COLUMNS: usize = 32;

/// Groups of four places, which one multiplication takes, in a block.
const FOURS: usize = BLOCK / 4;

/// Bytes of a block of a panel: for each four places those of all columns, then the columns' scales.
const STRIDE: usize = BLOCK * COLUMNS + 4 * COLUMNS;

/// Weights in int8, in panels of [`COLUMNS`] outputs.
pub(crate) struct Weights {
    data: Buf,
    inner: usize,
    outputs: usize,
}

impl Weights {
    /// Quantises a matrix [inner, outputs]. A block that is not all finite makes its output NaN.
    ///
    /// # Panics
    /// If the view reaches beyond its slice.
    pub fn new(w: Mat<'_>, inner: usize, outputs: usize) -> Self {
        let blocks = inner.div_ceil(BLOCK);
        let panel = blocks * STRIDE / 4;
        let mut data = Buf::uninit(outputs.div_ceil(COLUMNS) * panel);
        parallel::chunks(&mut data, panel, |p, panel| {
            for (b, to) in panel.chunks_exact_mut(STRIDE / 4).enumerate() {
                let (to, scales) = to.split_at_mut(BLOCK * COLUMNS / 4);
                let to: &mut [u8] = bytemuck::cast_slice_mut(to);
                let places = BLOCK.min(inner - b * BLOCK);
                for (c, scale) in scales.iter_mut().enumerate() {
                    let (mut x, mut q) = ([0.0; BLOCK], [0; BLOCK]);
                    let column = p * COLUMNS + c;
                    if column < outputs {
                        let from = column * w.col_stride + b * BLOCK * w.row_stride;
                        for (i, x) in x[..places].iter_mut().enumerate() {
                            *x = w.data[from + i * w.row_stride];
                        }
                    }
                    *scale = rows::quantise(&x, &mut q);
                    for (i, q) in q.into_iter().enumerate() {
                        to[(i / 4 * COLUMNS + c) * 4 + i % 4] = (q as u8).wrapping_add(128);
                    }
                }
            }
        });
        Self { data, inner, outputs }
    }

    /// out[m, outputs] = x[m, inner] · W.
    ///
    /// # Panics
    /// If a slice has another size.
    pub fn product(&self, x: &[f32], m: usize, out: &mut [f32], threads: bool) {
        self.product_by(Kernel::best(), x, m, out, threads);
    }

    fn product_by(&self, kernel: Kernel, x: &[f32], m: usize, out: &mut [f32], threads: bool) {
        let (k, n) = (self.inner, self.outputs);
        assert!(x.len() == m * k && out.len() == m * n, "int8 product: sizes differ");
        if k == 0 {
            out.fill(0.0);
            return;
        }
        let threads = threads && m * n * k >= PARALLEL_FROM;
        let rows = Rows::new(x, k, threads);
        let blocks = k.div_ceil(BLOCK);
        let out = DisjointRows::new(out, n);
        let groups = m.div_ceil(kernel.most_rows());
        let panel = blocks * STRIDE / 4;
        let task = |p: usize| {
            let data = &self.data[p * panel..(p + 1) * panel];
            let next = data.as_ptr().wrapping_add(panel);
            for group in 0..groups {
                let (from, to) = (group * m / groups, (group + 1) * m / groups);
                // What is fetched meanwhile: the stream that is being read, or a part of the next panel.
                let (ahead, ahead_step) = match (groups, group) {
                    (1, _) => (data.as_ptr().wrapping_add(512), STRIDE),
                    (_, 0) => (data.as_ptr(), 0),
                    (2, 1) => (next, STRIDE),
                    (_, 1) => (next, STRIDE / 2),
                    (_, 2) => (next.wrapping_add(panel / 2), STRIDE / 2),
                    _ => (next, 0),
                };
                let job = Job {
                    x: rows.from(from),
                    row: rows.stride(),
                    rows: to - from,
                    panel: data.as_ptr().cast(),
                    blocks,
                    out,
                    at: [from, p * COLUMNS],
                    width: COLUMNS.min(n - p * COLUMNS),
                    ahead: ahead.cast(),
                    ahead_step,
                };
                // SAFETY: rows and panel have `blocks` blocks, the columns of a panel are one task's alone, and
                // the kernel is one of this processor's.
                #[allow(unsafe_code)]
                unsafe {
                    kernel.run(job);
                }
            }
        };
        let panels = n.div_ceil(COLUMNS);
        if threads {
            parallel::tasks(panels, task);
        } else {
            (0..panels).for_each(task);
        }
    }
}

#[cfg(test)]
mod tests;
