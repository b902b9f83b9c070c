//! Attention of a few new queries over a cache of keys and values, for text generation.
//!
//! The cache is read once, place by place, for all heads of a task: one place holds all heads side by side.

use super::{
    cast::Converted,
    math,
    parallel::{DisjointMut, tasks},
    simd::{Level, level, simd},
};
use crate::{
    backend::{AttentionSizes, CachedAttention},
    dtype::{Bf16, Element},
};

#[cfg(target_arch = "x86_64")]
mod tiles;

/// Tasks that a small batch is split into, by heads.
const TASKS: usize = 8;

/// What a task reads of the cache for one query: heads from `first` on, `group` to a key head, over `seen` places of
/// `width` numbers.
#[derive(Clone, Copy)]
pub(crate) struct View {
    seen: usize,
    width: usize,
    first: usize,
    group: usize,
    dim: usize,
    scale: f32,
}

/// Some heads of a query over their view of the cache.
pub(crate) struct Heads<'a, T> {
    query: &'a [f32],
    k: &'a [T],
    v: &'a [T],
    view: View,
    /// Room for each head's scores.
    scores: &'a mut [f32],
    out: &'a mut [f32],
}

impl<T> Heads<'_, T> {
    /// Makes the scores weights that add up to 1, and the output zeros.
    #[inline(always)]
    fn weigh(&mut self) {
        for row in self.scores.chunks_exact_mut(self.view.seen) {
            math::softmax(row);
        }
        self.out.fill(0.0);
    }
}

/// Adds four places' values of a head to its output, by their weights `p`.
#[inline(always)]
fn add_four<T: Element>(out: &mut [f32], p: &[f32], [a, b, c, d]: [&[T]; 4]) {
    for ((((o, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *o += p[0] * a.to_f32() + p[1] * b.to_f32() + (p[2] * c.to_f32() + p[3] * d.to_f32());
    }
}

/// Writes the output of the heads.
#[inline(always)]
fn attend<T: Element>(mut heads: Heads<'_, T>) {
    let (query, k, v) = (heads.query, heads.k, heads.v);
    let View { seen, width, first, group, dim, scale } = heads.view;
    let of = |h: usize| (first + h) / group * dim;
    for (j, k) in k.chunks_exact(width).take(seen).enumerate() {
        for (h, query) in query.chunks_exact(dim).enumerate() {
            heads.scores[h * seen + j] = math::dot(query, &k[of(h)..of(h) + dim]) * scale;
        }
    }
    heads.weigh();
    let Heads { scores, out, .. } = heads;
    // Four places at a time: the output is read and written once for all of them.
    let mut j = 0;
    while j + 4 <= seen {
        let places: [&[T]; 4] = std::array::from_fn(|i| &v[(j + i) * width..(j + i + 1) * width]);
        for (h, out) in out.chunks_exact_mut(dim).enumerate() {
            let p = &scores[h * seen + j..h * seen + j + 4];
            add_four(out, p, places.map(|v| &v[of(h)..of(h) + dim]));
        }
        j += 4;
    }
    for (j, v) in v.chunks_exact(width).enumerate().take(seen).skip(j) {
        for (h, out) in out.chunks_exact_mut(dim).enumerate() {
            let p = scores[h * seen + j];
            for (o, v) in out.iter_mut().zip(&v[of(h)..of(h) + dim]) {
                *o += p * v.to_f32();
            }
        }
    }
}

simd! {
    fn attend_f32(heads: Heads<'_, f32>) {
        attend(heads);
    }

    fn attend_bf16(heads: Heads<'_, Bf16>) {
        attend(heads);
    }
}

/// A format of keys and values.
pub(crate) trait Format: Element {
    /// Writes the output of the heads, by the best instructions.
    fn attend(heads: Heads<'_, Self>);
}

macro_rules! form {
    ($ty:ty, $attend:ident) => {
        impl Format for $ty {
            fn attend(heads: Heads<'_, Self>) {
                #[cfg(target_arch = "x86_64")]
                if level() == Level::Avx512 && heads.view.dim.is_multiple_of(16) {
                    // SAFETY: the level was found on this processor.
                    #[allow(unsafe_code)]
                    unsafe {
                        tiles::attend(heads);
                    }
                    return;
                }
                $attend(heads);
            }
        }
    };
}
form!(f32, attend_f32);
form!(Bf16, attend_bf16);

/// Writes `new` [batch, time, width] into a cache [batch, capacity, width], row b from place `starts[b]` on.
pub(crate) fn write<T: Converted>(
    cache: &mut [T],
    new: &[f32],
    starts: &[i32],
    [capacity, time, width]: [usize; 3],
) {
    for (b, &start) in starts.iter().enumerate() {
        let to = (b * capacity + start as usize) * width;
        T::narrow(
            &new[b * time * width..(b + 1) * time * width],
            &mut cache[to..to + time * width],
        );
    }
}

/// Query t of row b over the places 0..=starts[b] + t of its cache [capacity, kv_heads, dim], the last `window`
/// of them; `out` is [batch, time, heads · dim].
pub(crate) fn attention<T: Format>(call: &CachedAttention<'_>, out: &mut [f32]) {
    let (q, k, v) = (call.q.cpu(), call.k.elements::<T>(), call.v.elements::<T>());
    let starts = call.starts.host();
    let (dims, window) = (call.sizes, call.window.unwrap_or(usize::MAX));
    let AttentionSizes { batch, queries: time, keys: capacity, heads, kv_heads, dim, scale } = dims;
    let group = dims.group();
    let width = kv_heads * dim;
    let out = DisjointMut::new(out);
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
            let view = View { seen, width, first, group, dim, scale };
            T::attend(Heads { query, k, v, view, scores, out });
        }
    });
}
