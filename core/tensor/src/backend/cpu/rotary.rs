//! Rotation of pairs (i, i + half) of each head by the angle of the token's position.

use super::{parallel::rows, simd::simd};

simd! {
    fn rotate_token(x: &[f32], cos: &[f32], sin: &[f32], sign: f32, out: &mut [f32]) {
        let half = cos.len();
        let sin = &sin[..half];
        for (x, out) in x.chunks_exact(2 * half).zip(out.chunks_exact_mut(2 * half)) {
            let (x1, x2) = x.split_at(half);
            let (o1, o2) = out.split_at_mut(half);
            for i in 0..half {
                let s = sin[i] * sign;
                o1[i] = x1[i] * cos[i] - x2[i] * s;
                o2[i] = x2[i] * cos[i] + x1[i] * s;
            }
        }
    }
}

/// `x` is [tokens, heads · dim], `cos` and `sin` [positions, dim / 2]; `sign` -1 turns back.
///
/// # Panics
/// If a position has no row in the tables.
#[allow(clippy::too_many_arguments)]
pub(crate) fn rotate(
    x: &[f32],
    positions: &[i32],
    cos: &[f32],
    sin: &[f32],
    half: usize,
    width: usize,
    sign: f32,
    out: &mut [f32],
) {
    rows(out, width, |first, out| {
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let token = first + i;
            let p = positions[token] as usize * half;
            rotate_token(
                &x[token * width..(token + 1) * width],
                &cos[p..p + half],
                &sin[p..p + half],
                sign,
                out,
            );
        }
    });
}
