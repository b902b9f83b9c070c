//! Layer norm and RMS norm over rows.

use super::{
    math,
    parallel::{DisjointMut, column_sums, rows, rows2},
    simd::simd,
};
use crate::backend::Norm;

/// Mean (0 for RMS) and reciprocal deviation of a row.
#[inline(always)]
fn statistics(kind: Norm, x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = match kind {
        Norm::Layer => math::sum(x) / n,
        Norm::Rms => 0.0,
    };
    let variance = math::sum_squares(x, mean) / n;
    // A sum that overflowed would make the row zeros, as if nothing had happened.
    let variance = if variance == f32::INFINITY { f32::NAN } else { variance };
    (mean, 1.0 / (variance + eps).sqrt())
}

simd! {
    fn forward_row(kind: Norm, x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, y: &mut [f32]) {
        let (mean, rstd) = statistics(kind, x, eps);
        let n = y.len();
        let (x, weight) = (&x[..n], &weight[..n]);
        match bias {
            Some(bias) => {
                let bias = &bias[..n];
                for i in 0..n {
                    y[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
                }
            }
            None => {
                for i in 0..n {
                    y[i] = (x[i] - mean) * rstd * weight[i];
                }
            }
        }
    }

    fn add_row(a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = a + b;
        }
    }

    /// dx of one row; adds to the sums of the weight's and bias's gradients.
    fn backward_row(kind: Norm, x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], dw: &mut [f32], db: &mut [f32]) {
        let (mean, rstd) = statistics(kind, x, eps);
        let n = dx.len();
        let (x, weight, dy, dw) = (&x[..n], &weight[..n], &dy[..n], &mut dw[..n]);
        for i in 0..n {
            let hat = (x[i] - mean) * rstd;
            dx[i] = dy[i] * weight[i];
            dw[i] += dy[i] * hat;
        }
        if !db.is_empty() {
            for (b, &g) in db.iter_mut().zip(dy) {
                *b += g;
            }
        }
        // dx holds g = dy·w; subtract its parts along 1 and along the normalised row.
        // The mean comes off each x: dot(g, x) - mean·Σg would cancel where the mean is large.
        let along = math::dot_shifted(dx, x, mean) * rstd / n as f32;
        let mean_g = match kind {
            Norm::Layer => math::sum(dx) / n as f32,
            Norm::Rms => 0.0,
        };
        for i in 0..n {
            let hat = (x[i] - mean) * rstd;
            dx[i] = rstd * (dx[i] - mean_g - hat * along);
        }
    }
}

/// y = norm(x) · weight + bias
pub(crate) fn forward(
    kind: Norm,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
    y: &mut [f32],
) {
    let width = weight.len();
    rows(y, width, |first, y| {
        for (y, x) in y.chunks_exact_mut(width).zip(x[first * width..].chunks_exact(width)) {
            forward_row(kind, x, weight, bias, eps, y);
        }
    });
}

/// sum = a + b; y = norm(sum) · weight + bias, in one pass.
#[allow(clippy::too_many_arguments)]
pub(crate) fn forward_sum(
    kind: Norm,
    a: &[f32],
    b: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
    sum: &mut [f32],
    y: &mut [f32],
) {
    let width = weight.len();
    rows2(sum, width, y, width, |first, sum, y| {
        let at = first * width;
        add_row(&a[at..], &b[at..], sum);
        for (y, x) in y.chunks_exact_mut(width).zip(sum.chunks_exact(width)) {
            forward_row(kind, x, weight, bias, eps, y);
        }
    });
}

/// dx, and the gradients of weight and, if it is wanted, bias.
#[allow(clippy::too_many_arguments)]
pub(crate) fn backward(
    kind: Norm,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    dw: &mut [f32],
    db: Option<&mut [f32]>,
) {
    let width = weight.len();
    let shared = DisjointMut::new(dx);
    let with_bias = db.is_some();
    let sums = column_sums(dy.len() / width, width * 2, |from, to, sums| {
        let (dw, db) = sums.split_at_mut(width);
        let db = if with_bias { db } else { &mut [] };
        for row in from..to {
            let at = row * width;
            // SAFETY: blocks of rows are disjoint.
            #[allow(unsafe_code)]
            let dx = unsafe { shared.slice(at, width) };
            backward_row(kind, &x[at..at + width], weight, eps, &dy[at..at + width], dx, dw, db);
        }
    });
    let (sums_w, sums_b) = sums.split_at(width);
    dw.copy_from_slice(sums_w);
    if let Some(db) = db {
        db.copy_from_slice(sums_b);
    }
}
