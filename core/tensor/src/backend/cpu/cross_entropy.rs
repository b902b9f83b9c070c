//! Row-wise pieces of the fused linear + cross-entropy: the logits exist only for a block of rows.

use super::{
    math,
    parallel::{self, rows},
    simd::simd,
};

simd! {
    fn log_sum_exp(row: &[f32]) -> f32 {
        let top = math::max(row);
        top + math::sum_of(row, |v| math::exp(v - top)).ln()
    }

    /// row = scale · softmax(row)
    fn softmax_row(row: &mut [f32], lse: f32, scale: f32) {
        for v in row {
            *v = scale * math::exp(*v - lse);
        }
    }

    fn log_softmax_grad_row(y: &[f32], g: &[f32], out: &mut [f32]) {
        let total = math::sum(g);
        for ((o, &y), &g) in out.iter_mut().zip(y).zip(g) {
            *o = g - math::exp(y) * total;
        }
    }

    /// Sum of -p ln p.
    fn entropy_row(row: &[f32], lse: f32) -> f32 {
        math::sum_of(row, |v| math::exp(v - lse) * (lse - v))
    }
}

/// out[i] = (log-probability of targets[i], log-sum-exp) of row i.
pub(crate) fn log_prob(logits: &[f32], vocabulary: usize, targets: &[i32], out: &mut [f32]) {
    // The output is narrow: cut tasks by the width of the logits.
    let step = parallel::rows_per_task(vocabulary);
    parallel::chunks(out, 2 * step, |i, out| {
        for (j, out) in out.chunks_exact_mut(2).enumerate() {
            let r = i * step + j;
            let row = &logits[r * vocabulary..(r + 1) * vocabulary];
            let lse = log_sum_exp(row);
            out[0] = row[targets[r] as usize] - lse;
            out[1] = lse;
        }
    });
}

/// Entropy of each row in nats.
pub(crate) fn entropy(
    logits: &[f32],
    vocabulary: usize,
    lse: impl Fn(usize) -> f32 + Sync,
    out: &mut [f32],
) {
    let step = parallel::rows_per_task(vocabulary);
    parallel::chunks(out, step, |i, out| {
        for (j, out) in out.iter_mut().enumerate() {
            let r = i * step + j;
            *out = entropy_row(&logits[r * vocabulary..(r + 1) * vocabulary], lse(r));
        }
    });
}

/// A token of each row of logits, drawn with its probability by the row's uniform number, and the likeliest:
/// out[i] = [drawn, likeliest].
pub(crate) fn draw(
    logits: &[f32],
    vocabulary: usize,
    uniform: impl Fn(usize) -> f64 + Sync,
    out: &mut [[i32; 2]],
) {
    let step = parallel::rows_per_task(vocabulary);
    parallel::chunks(out, step, |i, out| {
        let mut shares = vec![0.0; vocabulary];
        for (j, out) in out.iter_mut().enumerate() {
            let r = i * step + j;
            let row = &logits[r * vocabulary..(r + 1) * vocabulary];
            let top = math::max(row);
            let likeliest = row.iter().position(|&v| v == top).unwrap_or(0);
            shares.copy_from_slice(row);
            softmax_row(&mut shares, log_sum_exp(row), 1.0);
            let mut left = uniform(r);
            let drawn = shares.iter().position(|&p| {
                left -= f64::from(p);
                left < 0.0
            });
            // Rounding may leave a little behind the last; so do logits that are not numbers.
            *out = [drawn.unwrap_or(likeliest) as i32, likeliest as i32];
        }
    });
}

/// Turns logits into the gradient of Σ weights[i] · -log p(targets[i]): w · (softmax - one-hot).
pub(crate) fn gradient(
    logits: &mut [f32],
    vocabulary: usize,
    targets: &[i32],
    lse: impl Fn(usize) -> f32 + Sync,
    weight: impl Fn(usize) -> f32 + Sync,
) {
    rows(logits, vocabulary, |first, logits| {
        for (i, row) in logits.chunks_exact_mut(vocabulary).enumerate() {
            let r = first + i;
            let w = weight(r);
            softmax_row(row, lse(r), w);
            row[targets[r] as usize] -= w;
        }
    });
}

/// Log-softmax of each row, for those who want whole rows.
pub(crate) fn log_softmax(x: &[f32], width: usize, out: &mut [f32]) {
    simd! {
        fn shift(x: &[f32], by: f32, out: &mut [f32]) {
            for (o, &v) in out.iter_mut().zip(x) {
                *o = v - by;
            }
        }
    }
    rows(out, width, |first, out| {
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let row = &x[(first + i) * width..(first + i + 1) * width];
            shift(row, log_sum_exp(row), out);
        }
    });
}

/// Gradient of [`log_softmax`]: g - softmax · Σg.
pub(crate) fn log_softmax_grad(y: &[f32], g: &[f32], width: usize, out: &mut [f32]) {
    rows(out, width, |first, out| {
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let at = (first + i) * width;
            log_softmax_grad_row(&y[at..at + width], &g[at..at + width], out);
        }
    });
}
