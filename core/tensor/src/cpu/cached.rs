//! Attention of a few new queries over a cache of keys and values, as in writing text.
//!
//! The cache is read once, place by place, for all heads of a task: what a place holds of all heads lies together.

use super::{
    attention::Dims,
    math,
    parallel::{Shared, tasks},
    simd::simd,
};

/// Tasks that a small batch is split into, by heads.
const TASKS: usize = 8;

simd! {
    /// The heads `first..first + scores.len() / seen` (of `group` to a key head) of one query over `seen` places of
    /// `width` numbers.
    fn attend(
        query: &[f32],
        k: &[f32],
        v: &[f32],
        seen: usize,
        width: usize,
        first: usize,
        group: usize,
        dim: usize,
        scale: f32,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let of = |h: usize| (first + h) / group * dim;
        for (j, k) in k.chunks_exact(width).take(seen).enumerate() {
            for (h, query) in query.chunks_exact(dim).enumerate() {
                scores[h * seen + j] = math::dot(query, &k[of(h)..of(h) + dim]) * scale;
            }
        }
        for row in scores.chunks_exact_mut(seen) {
            let top = math::max(row);
            for s in row.iter_mut() {
                *s = math::exp(*s - top);
            }
            let inverse = 1.0 / math::sum(row);
            for s in row {
                *s *= inverse;
            }
        }
        out.fill(0.0);
        // Four places at a time: the output is read and written once for all of them.
        let mut j = 0;
        while j + 4 <= seen {
            let places: [&[f32]; 4] = std::array::from_fn(|i| &v[(j + i) * width..(j + i + 1) * width]);
            for (h, out) in out.chunks_exact_mut(dim).enumerate() {
                let p = &scores[h * seen + j..h * seen + j + 4];
                let [a, b, c, d] = places.map(|v| &v[of(h)..of(h) + dim]);
                for ((((o, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    *o += p[0] * a + p[1] * b + (p[2] * c + p[3] * d);
                }
            }
            j += 4;
        }
        for (j, v) in v.chunks_exact(width).enumerate().take(seen).skip(j) {
            for (h, out) in out.chunks_exact_mut(dim).enumerate() {
                let p = scores[h * seen + j];
                for (o, v) in out.iter_mut().zip(&v[of(h)..of(h) + dim]) {
                    *o += p * v;
                }
            }
        }
    }
}

/// Query t of row b over the places 0..=starts[b] + t of its cache [capacity, kv_heads, dim], the last `window`
/// of them; `out` is [batch, time, heads · dim].
#[allow(clippy::too_many_arguments)]
pub(crate) fn cached(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    capacity: usize,
    starts: &[i32],
    dims: Dims,
    window: usize,
    out: &mut [f32],
) {
    let Dims { batch, time, heads, kv_heads, dim, scale } = dims;
    let group = dims.group();
    let width = kv_heads * dim;
    let out = Shared::new(out);
    let parts = TASKS.div_ceil(batch.max(1)).min(kv_heads);
    tasks(batch * parts, |task| {
        let (b, part) = (task / parts, task % parts);
        let first = part * kv_heads / parts * group;
        let count = (part + 1) * kv_heads / parts * group - first;
        let mut scores = vec![0.0f32; count * capacity.min(window)];
        for t in 0..time {
            let end = starts[b] as usize + t + 1;
            let from = end.saturating_sub(window);
            let seen = end - from;
            let at = ((b * time + t) * heads + first) * dim;
            let places = (b * capacity + from) * width..(b * capacity + end) * width;
            // SAFETY: these heads of this query belong to this task alone.
            #[allow(unsafe_code)]
            let out = unsafe { out.slice(at, count * dim) };
            let (query, k, v) = (&q[at..at + count * dim], &k[places.clone()], &v[places]);
            let scores = &mut scores[..count * seen];
            attend(query, k, v, seen, width, first, group, dim, scale, scores, out);
        }
    });
}
