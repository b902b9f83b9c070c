//! Rows of f32 as int8 in blocks.

use super::{BLOCK, FOURS};
use crate::{
    backend::cpu::{
        parallel::{self, rows_per_task},
        simd::simd,
    },
    pool::Buf,
};

/// Words of a block of a row: its bytes, its scale, and where the sums of unsigned weights begin.
pub(super) const WORDS: usize = FOURS + 2;

/// Places of a block's scale and beginning among its words.
pub(super) const SCALE: usize = FOURS;
pub(super) const BEGIN: usize = FOURS + 1;

/// Added to a number below 2^22 it leaves the nearest integer, ties to even, in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// The integers of one block, and its scale: NaN if a number is not finite.
#[inline(always)]
pub(super) fn quantise(x: &[f32; BLOCK], q: &mut [i8; BLOCK]) -> f32 {
    // Magnitudes are in the order of their bits, infinity and NaN the greatest.
    let top = x.iter().fold(0, |top, x| (x.to_bits() & 0x7fff_ffff).max(top));
    let top = f32::from_bits(top);
    let (scale, inverse) = match top {
        // 127 / top must be finite.
        _ if top < 1e-30 => (0.0, 0.0),
        _ if top.is_finite() => (top * (1.0 / 127.0), 127.0 / top),
        _ => (f32::NAN, 0.0),
    };
    for (q, x) in q.iter_mut().zip(x) {
        *q = (x * inverse + ROUND).to_bits() as i8;
    }
    scale
}

simd! {
    /// Rows of `k` numbers as blocks of [`WORDS`].
    fn quantise_rows(x: &[f32], k: usize, out: &mut [i32]) {
        let blocks = k.div_ceil(BLOCK);
        for (x, out) in x.chunks_exact(k).zip(out.chunks_exact_mut(blocks * WORDS)) {
            for (x, out) in x.chunks(BLOCK).zip(out.chunks_exact_mut(WORDS)) {
                let mut q = [0; BLOCK];
                let scale = match <&[f32; BLOCK]>::try_from(x) {
                    Ok(x) => quantise(x, &mut q),
                    Err(_) => {
                        let mut padded = [0.0; BLOCK];
                        padded[..x.len()].copy_from_slice(x);
                        quantise(&padded, &mut q)
                    }
                };
                let sum: i32 = q.iter().map(|&q| i32::from(q)).sum();
                bytemuck::cast_slice_mut(&mut out[..FOURS]).copy_from_slice(&q);
                out[SCALE] = scale.to_bits() as i32;
                out[BEGIN] = -128 * sum;
            }
        }
    }
}

/// Quantised rows.
pub(super) struct Rows {
    words: Buf,
    stride: usize,
}

impl Rows {
    /// Of rows of `k` numbers, k above 0.
    pub fn new(x: &[f32], k: usize, threads: bool) -> Self {
        let stride = k.div_ceil(BLOCK) * WORDS;
        let mut words = Buf::uninit(x.len() / k * stride);
        // A row is work for a task only where there are many.
        let step = if threads { rows_per_task(k) } else { x.len() / k }.max(1);
        parallel::chunks(&mut words, step * stride, |i, out| {
            let x = &x[i * step * k..][..out.len() / stride * k];
            quantise_rows(x, k, bytemuck::cast_slice_mut(out));
        });
        Self { words, stride }
    }

    /// The first word of a row.
    pub fn from(&self, row: usize) -> *const i32 {
        self.words[row * self.stride..].as_ptr().cast()
    }

    /// Words from a row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// What the numbers are after quantising: [rows, k rounded up to blocks].
    #[cfg(test)]
    pub fn values(&self) -> Vec<f64> {
        let blocks = self.words.chunks_exact(WORDS);
        blocks
            .flat_map(|words| {
                let scale = f64::from(words[SCALE]);
                let words: &[i32] = bytemuck::cast_slice(&words[..FOURS]);
                words
                    .iter()
                    .flat_map(|w| w.to_ne_bytes())
                    .map(move |q| scale * f64::from(q as i8))
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}
