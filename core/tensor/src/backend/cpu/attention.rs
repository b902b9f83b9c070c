//! Attention in tiles: scores exist only for a block of queries by a block of keys.
//!
//! Forward: the online softmax of Milakov and Gimelshein 2018, arranged as in FlashAttention-2
//! (Dao 2023, algorithm 1). Backward: algorithm 2 of the same, from the saved log-sum-exp.

use std::ops::Range;

use super::{
    gemm::matmul_raw,
    mat::{Gemm, Mat, Threads},
    math,
    parallel::{DisjointMut, tasks},
    simd::simd,
};
use crate::{
    backend::{AttentionSizes, HeadLayout, Mask},
    tensor::Ids,
};

pub(super) const QUERIES: usize = 128;
pub(super) const KEYS: usize = 128;

/// A row's queries and keys: the first token and the count of each.
#[derive(Clone, Copy)]
struct Row {
    q: usize,
    queries: usize,
    k: usize,
    keys: usize,
}

/// Which keys a query may see. Ids are [batch, time].
#[derive(Clone, Copy)]
pub(crate) struct MaskView<'a> {
    causal: bool,
    /// Places before a query that it sees, and after it: none if causal.
    before: usize,
    after: usize,
    /// Queries see keys of their own document only.
    documents: Option<&'a [i32]>,
    /// Keys with 0 are hidden.
    keys: Option<&'a [i32]>,
    /// Where each row begins, where they are of different lengths; one more than rows.
    starts: Option<&'a [i32]>,
}

impl<'a> MaskView<'a> {
    pub fn new(mask: &'a Mask) -> Self {
        Self {
            causal: mask.causal,
            before: mask.window.map_or(usize::MAX, |w| w.before),
            after: if mask.causal { 0 } else { mask.window.map_or(usize::MAX, |w| w.after) },
            documents: mask.documents.as_ref().map(Ids::host),
            keys: mask.keys.as_ref().map(Ids::host),
            starts: mask.starts.as_ref().map(Ids::host),
        }
    }

    fn row(&self, b: usize, sizes: &AttentionSizes) -> Row {
        let AttentionSizes { queries, keys, .. } = *sizes;
        match self.starts {
            Some(starts) => {
                let (first, count) = (starts[b] as usize, (starts[b + 1] - starts[b]) as usize);
                Row { q: first, queries: count, k: first, keys: count }
            }
            None => Row { q: b * queries, queries, k: b * keys, keys },
        }
    }

    /// Queries of a tile: in short causal rows half as many, since half of a square tile on the diagonal
    /// is computed for nothing.
    fn tile(&self, queries: usize) -> usize {
        if self.causal && queries < 4 * QUERIES { QUERIES / 2 } else { QUERIES }
    }

    /// The keys that query `i` sees by their places alone.
    fn near(&self, i: usize, keys: usize) -> Range<usize> {
        i.saturating_sub(self.before)..i.saturating_add(self.after).saturating_add(1).min(keys)
    }

    /// The keys from 0 on that some query of a block may see by their places.
    fn reach(&self, q: &Range<usize>, keys: usize) -> usize {
        self.near(q.end - 1, keys).end
    }

    /// Whether no query of the block may see any of its keys; keys are looked at only in blocks of
    /// one document each, where the answer is cheap.
    fn empty(&self, row: Row, q: Range<usize>, k: Range<usize>) -> bool {
        if self.near(q.start, row.keys).start >= k.end {
            return true;
        }
        let Some(documents) = self.documents else { return false };
        let span = |r: Range<usize>| {
            documents[r].iter().fold((i32::MAX, i32::MIN), |(a, b), &d| (a.min(d), b.max(d)))
        };
        let (q0, q1) = span(row.q + q.start..row.q + q.end);
        let (k0, k1) = span(row.k + k.start..row.k + k.end);
        q1 < k0 || k1 < q0
    }

    /// Whether query `i` may see any key.
    fn sees(&self, row: Row, i: usize) -> bool {
        self.near(i, row.keys).any(|j| {
            self.documents.is_none_or(|d| d[row.k + j] == d[row.q + i])
                && self.keys.is_none_or(|k| k[row.k + j] != 0)
        })
    }

    /// Sets what must not be seen to -inf.
    fn apply(&self, s: &mut [f32], row: Row, q: Range<usize>, k: Range<usize>) {
        let width = k.len();
        // The first query sees least ahead, the last one least behind.
        let crosses = self.near(q.start, row.keys).end < k.end;
        let slides = self.near(q.end - 1, row.keys).start > k.start;
        if !crosses && !slides && self.documents.is_none() && self.keys.is_none() {
            return;
        }
        for (i, s) in q.clone().zip(s.chunks_exact_mut(width)) {
            let near = self.near(i, row.keys);
            if crosses && near.end < k.end {
                s[near.end.saturating_sub(k.start)..].fill(f32::NEG_INFINITY);
            }
            if slides {
                let hidden = near.start.saturating_sub(k.start).min(width);
                s[..hidden].fill(f32::NEG_INFINITY);
            }
            if let Some(d) = self.documents {
                let own = d[row.q + i];
                for (s, &other) in s.iter_mut().zip(&d[row.k + k.start..row.k + k.end]) {
                    *s = if other == own { *s } else { f32::NEG_INFINITY };
                }
            }
            if let Some(keys) = self.keys {
                for (s, &seen) in s.iter_mut().zip(&keys[row.k + k.start..row.k + k.end]) {
                    *s = if seen != 0 { *s } else { f32::NEG_INFINITY };
                }
            }
        }
    }
}

simd! {
    /// One step of the online softmax over a block: `s` becomes exp(s - new maximum), the running
    /// maxima and sums move on and `acc` is rescaled.
    pub(super) fn online_block(s: &mut [f32], width: usize, top: &mut [f32], sum: &mut [f32], acc: &mut [f32], dim: usize) {
        for (((s, top), sum), acc) in s.chunks_exact_mut(width).zip(top).zip(sum).zip(acc.chunks_exact_mut(dim)) {
            let new = math::max(s);
            let new = if new > *top { new } else { *top };
            if new == f32::NEG_INFINITY {
                // Nothing to see in this block; or only NaN, which the maximum passes over.
                if math::sum(s).is_nan() {
                    *sum = f32::NAN;
                }
                s.fill(0.0);
                continue;
            }
            let shrink = math::exp(*top - new);
            for v in s.iter_mut() {
                *v = math::exp(*v - new);
            }
            *sum = *sum * shrink + math::sum(s);
            *top = new;
            if shrink != 1.0 {
                for a in acc {
                    *a *= shrink;
                }
            }
        }
    }

    pub(super) fn finish_row(acc: &[f32], scale: f32, out: &mut [f32]) {
        for (o, &a) in out.iter_mut().zip(acc) {
            *o = a * scale;
        }
    }

    pub(super) fn probabilities(s: &mut [f32], width: usize, lse: &[f32]) {
        for (s, &lse) in s.chunks_exact_mut(width).zip(lse) {
            for v in s {
                *v = math::exp(*v - lse);
            }
        }
    }

    /// dP becomes dS = P · (dP - D) · scale.
    pub(super) fn score_grad(p: &[f32], dp: &mut [f32], width: usize, delta: &[f32], scale: f32) {
        for ((p, dp), &delta) in p.chunks_exact(width).zip(dp.chunks_exact_mut(width)).zip(delta) {
            for (dp, &p) in dp.iter_mut().zip(p) {
                *dp = p * (*dp - delta) * scale;
            }
        }
    }

    pub(super) fn inner(a: &[f32], b: &[f32]) -> f32 {
        math::dot(a, b)
    }

    pub(super) fn axpy(out: &mut [f32], scale: f32, x: &[f32]) {
        for (o, &x) in out.iter_mut().zip(x) {
            *o += scale * x;
        }
    }
}

/// Strided [tokens, dim] of one head.
fn head<'a>(
    data: &'a [f32],
    layout: HeadLayout,
    dims: &AttentionSizes,
    token: usize,
    head: usize,
) -> Mat<'a> {
    let start = layout.offset + token * layout.stride + head * dims.dim;
    Mat { data: &data[start.min(data.len())..], row_stride: layout.stride, col_stride: 1 }
}

pub(super) fn blocks(time: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..time).step_by(size).map(move |i| i..(i + size).min(time))
}

/// out [batch, queries, heads, dim] and the scores' log-sum-exp [batch, heads, queries].
/// A query that may see nothing gets zeros.
#[allow(clippy::too_many_arguments)]
pub(crate) fn forward(
    q: &[f32],
    ql: HeadLayout,
    k: &[f32],
    kl: HeadLayout,
    v: &[f32],
    vl: HeadLayout,
    dims: AttentionSizes,
    mask: MaskView<'_>,
    out: &mut [f32],
    lse: &mut [f32],
) {
    let AttentionSizes { heads, dim, .. } = dims;
    let (out, lse) = (DisjointMut::new(out), DisjointMut::new(lse));
    tasks(dims.batch * heads, |task| {
        let (b, h) = (task / heads, task % heads);
        let (row, kv) = (mask.row(b, &dims), h / dims.group());
        let mut s = vec![0.0f32; QUERIES * KEYS];
        let mut acc = vec![0.0f32; QUERIES * dim];
        for qr in blocks(row.queries, mask.tile(row.queries)) {
            let n = qr.len();
            let acc = &mut acc[..n * dim];
            acc.fill(0.0);
            let (mut top, mut sum) = ([f32::NEG_INFINITY; QUERIES], [0.0f32; QUERIES]);
            let qm = head(q, ql, &dims, row.q + qr.start, h);
            for kr in blocks(mask.reach(&qr, row.keys), KEYS) {
                if mask.empty(row, qr.clone(), kr.clone()) {
                    continue;
                }
                let w = kr.len();
                let s = &mut s[..n * w];
                let km = head(k, kl, &dims, row.k + kr.start, kv);
                let vm = head(v, vl, &dims, row.k + kr.start, kv);
                // SAFETY: both outputs are this task's own scratch and large enough.
                #[allow(unsafe_code)]
                unsafe {
                    matmul_raw(
                        s.as_mut_ptr(),
                        w,
                        Gemm::new([n, w, dim], qm, km.t()).scaled(dims.scale).on(Threads::One),
                    );
                }
                mask.apply(s, row, qr.clone(), kr.clone());
                online_block(s, w, &mut top[..n], &mut sum[..n], acc, dim);
                // SAFETY: as above.
                #[allow(unsafe_code)]
                unsafe {
                    matmul_raw(
                        acc.as_mut_ptr(),
                        dim,
                        Gemm::new([n, dim, w], Mat::new(s, w), vm).added(true).on(Threads::One),
                    );
                }
            }
            for (i, t) in qr.clone().enumerate() {
                let (scale, log) = if sum[i] != 0.0 {
                    (1.0 / sum[i], top[i] + sum[i].ln())
                } else if mask.sees(row, t) {
                    // Scores of -inf alone: something overflowed, which must not look like a mask.
                    (f32::NAN, f32::NAN)
                } else {
                    // +inf makes every probability of the backward pass 0.
                    (0.0, f32::INFINITY)
                };
                // SAFETY: head h of token t, and its log-sum-exp, belong to this task alone.
                #[allow(unsafe_code)]
                let (o, l) = unsafe {
                    (
                        out.slice(((row.q + t) * heads + h) * dim, dim),
                        lse.slice(row.q * heads + h * row.queries + t, 1),
                    )
                };
                finish_row(&acc[i * dim..(i + 1) * dim], scale, o);
                l[0] = log;
            }
        }
    });
}

/// What the backward pass reads.
pub(crate) struct Saved<'a> {
    pub q: &'a [f32],
    pub ql: HeadLayout,
    pub k: &'a [f32],
    pub kl: HeadLayout,
    pub v: &'a [f32],
    pub vl: HeadLayout,
    pub out: &'a [f32],
    pub lse: &'a [f32],
    pub dout: &'a [f32],
}

/// Gradients into places laid out like the inputs. `dq`, `dk`, `dv` may be one array (packed
/// projections); each must be zero where a gradient goes.
pub(crate) fn backward(
    saved: &Saved<'_>,
    dims: AttentionSizes,
    mask: MaskView<'_>,
    [dq, dk, dv]: [DisjointMut; 3],
) {
    let AttentionSizes { heads, kv_heads, dim, .. } = dims;
    let own = HeadLayout { offset: 0, stride: heads * dim };
    let place = |base: DisjointMut, layout: HeadLayout, token: usize, head: usize| {
        base.at(layout.offset + token * layout.stride + head * dim)
    };
    // A task owns one key head: the queries of its group, and the gradients of its keys and values.
    tasks(dims.batch * kv_heads, |task| {
        let (b, kv) = (task / kv_heads, task % kv_heads);
        let row = mask.row(b, &dims);
        let mut p = vec![0.0f32; QUERIES * KEYS];
        let mut dp = vec![0.0f32; QUERIES * KEYS];
        for h in kv * dims.group()..(kv + 1) * dims.group() {
            let lse = &saved.lse[row.q * heads + h * row.queries..][..row.queries];
            let delta: Vec<f32> = (0..row.queries)
                .map(|t| {
                    let at = ((row.q + t) * heads + h) * dim;
                    inner(&saved.out[at..at + dim], &saved.dout[at..at + dim])
                })
                .collect();
            for qr in blocks(row.queries, mask.tile(row.queries)) {
                let n = qr.len();
                let qm = head(saved.q, saved.ql, &dims, row.q + qr.start, h);
                let dom = head(saved.dout, own, &dims, row.q + qr.start, h);
                for kr in blocks(mask.reach(&qr, row.keys), KEYS) {
                    if mask.empty(row, qr.clone(), kr.clone()) {
                        continue;
                    }
                    let w = kr.len();
                    let (p, dp) = (&mut p[..n * w], &mut dp[..n * w]);
                    let km = head(saved.k, saved.kl, &dims, row.k + kr.start, kv);
                    let vm = head(saved.v, saved.vl, &dims, row.k + kr.start, kv);
                    // SAFETY: scratch of this task; the gradients written are those of the queries of
                    // this group and the keys of this head, which no other task touches, and `at`
                    // checked that they start inside their arrays, which are laid out like the inputs.
                    #[allow(unsafe_code)]
                    unsafe {
                        let one = Threads::One;
                        matmul_raw(
                            p.as_mut_ptr(),
                            w,
                            Gemm::new([n, w, dim], qm, km.t()).scaled(dims.scale).on(one),
                        );
                        mask.apply(p, row, qr.clone(), kr.clone());
                        probabilities(p, w, &lse[qr.clone()]);
                        let pm = Mat::new(p, w);
                        let dv = place(dv, saved.vl, row.k + kr.start, kv);
                        matmul_raw(
                            dv,
                            saved.vl.stride,
                            Gemm::new([w, dim, n], pm.t(), dom).added(true).on(one),
                        );
                        matmul_raw(dp.as_mut_ptr(), w, Gemm::new([n, w, dim], dom, vm.t()).on(one));
                        score_grad(p, dp, w, &delta[qr.clone()], dims.scale);
                        let ds = Mat::new(dp, w);
                        let dq = place(dq, saved.ql, row.q + qr.start, h);
                        matmul_raw(
                            dq,
                            saved.ql.stride,
                            Gemm::new([n, dim, w], ds, km).added(true).on(one),
                        );
                        let dk = place(dk, saved.kl, row.k + kr.start, kv);
                        matmul_raw(
                            dk,
                            saved.kl.stride,
                            Gemm::new([w, dim, n], ds.t(), qm).added(true).on(one),
                        );
                    }
                }
            }
        }
    });
}
