//! Parameter updates in one pass over memory.

use super::{parallel::DisjointMut, simd::simd};
use crate::backend::AdamW;

simd! {
    fn adamw_piece(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], h: AdamW, correct1: f32, correct2: f32) {
        let n = p.len();
        let (g, m, v) = (&g[..n], &mut m[..n], &mut v[..n]);
        let keep = 1.0 - h.learning_rate * h.weight_decay;
        for i in 0..n {
            let g = g[i] * h.grad_scale;
            m[i] = h.beta1 * m[i] + (1.0 - h.beta1) * g;
            v[i] = h.beta2 * v[i] + (1.0 - h.beta2) * (g * g);
            let step = (m[i] * correct1) / ((v[i] * correct2).sqrt() + h.epsilon);
            p[i] = p[i] * keep - h.learning_rate * step;
        }
    }
}

simd! {
    fn nesterov_piece(m: &mut [f32], g: &[f32], beta: f32, scale: f32, ahead: &mut [f32]) {
        let n = m.len();
        let (g, ahead) = (&g[..n], &mut ahead[..n]);
        for i in 0..n {
            let g = scale * g[i];
            m[i] = beta * m[i] + g;
            ahead[i] = beta * m[i] + g;
        }
    }
}

/// The momentum and where it leads.
pub(crate) fn nesterov(m: &mut [f32], g: &[f32], beta: f32, scale: f32, ahead: &mut [f32]) {
    super::parallel::rows2(m, 1, ahead, 1, |i, m, ahead| {
        nesterov_piece(m, &g[i..], beta, scale, ahead);
    });
}

/// One AdamW update; `step` counts from 1.
pub(crate) fn adamw(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], h: AdamW, step: u64) {
    let correct =
        |beta: f32| (1.0 / (1.0 - f64::from(beta).powi(step.min(i32::MAX as u64) as i32))) as f32;
    let (c1, c2) = (correct(h.beta1), correct(h.beta2));
    let (m, v) = (DisjointMut::new(m), DisjointMut::new(v));
    super::parallel::rows(p, 1, |i, p| {
        // SAFETY: the pieces of `p`, and so those of `m` and `v`, are disjoint.
        #[allow(unsafe_code)]
        let (m, v) = unsafe { (m.slice(i, p.len()), v.slice(i, p.len())) };
        adamw_piece(p, &g[i..], m, v, h, c1, c2);
    });
}
