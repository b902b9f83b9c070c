//! Attention with relative positions and segments in tiles: Dai et al. 2019, "Transformer-XL", section
//! 3.3, with the relative segments of Yang et al. 2019, "XLNet", section 2.5. Beside a tile of scores
//! there is, for a block of queries, one row over all distances; never queries by keys.

mod backward;

pub(crate) use backward::{Outputs, Saved, backward};

use super::{
    attention::{KEYS, QUERIES, axpy, blocks, finish_row, inner, online_block},
    gemm::matmul,
    mat::{Gemm, Mat, Threads},
    parallel::{DisjointMut, tasks},
    simd::simd,
};
use crate::{
    backend::{RelativeMask, RelativeSizes},
    tensor::{Ids, Tensor},
};

/// The slices of a [`RelativeMask`].
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub causal: bool,
    pub same_length: bool,
    pub own: bool,
    pub keys: Option<&'a [i32]>,
    pub permutation: Option<&'a [f32]>,
    pub places: Option<&'a [i32]>,
    pub types: Option<&'a [i32]>,
}

impl<'a> View<'a> {
    pub fn new(mask: &'a RelativeMask) -> Self {
        Self {
            causal: mask.causal,
            same_length: mask.same_length,
            own: mask.own,
            keys: mask.keys.as_ref().map(Ids::host),
            permutation: mask.permutation.as_ref().map(Tensor::cpu),
            places: mask.places.as_ref().map(Ids::host),
            types: mask.types.as_ref().map(Ids::host),
        }
    }
}

/// Queries, keys, values, the table of distances, and the biases.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub r: &'a [f32],
    pub content_bias: &'a [f32],
    pub place_bias: &'a [f32],
    /// Bias [heads, dim] and embedding [2, heads, dim].
    pub segments: Option<(&'a [f32], &'a [f32])>,
}

impl<'a> Inputs<'a> {
    /// In the order of [`RelativeAttention`](crate::backend::RelativeAttention).
    pub fn new(inputs: &'a [Tensor]) -> Self {
        Self {
            q: inputs[0].cpu(),
            k: inputs[1].cpu(),
            v: inputs[2].cpu(),
            r: inputs[3].cpu(),
            content_bias: inputs[4].cpu(),
            place_bias: inputs[5].cpu(),
            segments: inputs.get(6).map(|bias| (bias.cpu(), inputs[7].cpu())),
        }
    }
}

simd! {
    fn add_rows(out: &mut [f32], bias: &[f32]) {
        for row in out.chunks_exact_mut(bias.len()) {
            for (o, b) in row.iter_mut().zip(bias) {
                *o += b;
            }
        }
    }

    fn add_segments(s: &mut [f32], types: &[i32], own: i32, same: f32, other: f32) {
        for (s, &t) in s.iter_mut().zip(types) {
            *s += if t == own { same } else { other };
        }
    }

    fn split_segments(ds: &[f32], types: &[i32], own: i32, sums: &mut [f32]) {
        let (mut same, mut other) = (0.0f32, 0.0f32);
        for (&d, &t) in ds.iter().zip(types) {
            if t == own { same += d } else { other += d }
        }
        sums[0] += same;
        sums[1] += other;
    }

    fn hide(s: &mut [f32], hidden: &[f32]) {
        for (s, &h) in s.iter_mut().zip(hidden) {
            *s = if h > 0.0 { f32::NEG_INFINITY } else { *s };
        }
    }

    fn hide_keys(s: &mut [f32], keys: &[i32]) {
        for (s, &k) in s.iter_mut().zip(keys) {
            *s = if k != 0 { *s } else { f32::NEG_INFINITY };
        }
    }
}

/// What a block of queries brings along.
struct Block {
    /// Place of each query in the row; below 0 where there is none.
    places: Vec<i32>,
    blind: Vec<bool>,
    content: Vec<f32>,
    placed: Vec<f32>,
    /// Scores by distance [n, distances].
    by_distance: Vec<f32>,
    /// Scores of the same and of another segment [n, 2].
    by_segment: Vec<f32>,
}

struct Head<'a> {
    dims: RelativeSizes,
    view: View<'a>,
    inputs: Inputs<'a>,
    b: usize,
    h: usize,
    /// Types of all keys; those of the memory are 0, as in the reference.
    types: Vec<i32>,
}

impl<'a> Head<'a> {
    fn new(dims: RelativeSizes, view: View<'a>, inputs: Inputs<'a>, b: usize, h: usize) -> Self {
        let mut types = Vec::new();
        if let Some(all) = view.types {
            types.resize(dims.memory, 0);
            types.extend_from_slice(&all[b * dims.time..(b + 1) * dims.time]);
        }
        Self { dims, view, inputs, b, h, types }
    }

    fn bias(&self, all: &'a [f32]) -> &'a [f32] {
        &all[self.h * self.dims.dim..][..self.dims.dim]
    }

    /// Rows of [.., heads, dim] from `row` on, of this head.
    fn rows(&self, all: &'a [f32], row: usize) -> Mat<'a> {
        let start = row * self.dims.stride() + self.h * self.dims.dim;
        let data = &all[start.min(all.len())..];
        Mat { data, row_stride: self.dims.stride(), col_stride: 1 }
    }

    /// This head's rows of [.., heads, dim], copied, plus a bias.
    fn biased(&self, q: &'a [f32], row: usize, n: usize, bias: &[f32]) -> Vec<f32> {
        let dim = self.dims.dim;
        let from = self.rows(q, row);
        let mut out = Vec::with_capacity(n * dim);
        for i in 0..n {
            out.extend_from_slice(&from.data[i * from.row_stride..][..dim]);
        }
        add_rows(&mut out, self.bias(bias));
        out
    }

    fn block(&self, q: std::ops::Range<usize>) -> Block {
        let (RelativeSizes { queries, distances, dim, .. }, n) = (self.dims, q.len());
        let first = self.b * queries + q.start;
        let places: Vec<i32> = match self.view.places {
            Some(places) => places[first..first + n].to_vec(),
            None => q.map(|i| i as i32).collect(),
        };
        let blind = places.iter().map(|&p| p >= 0 && self.is_blind(p as usize)).collect();
        let content = self.biased(self.inputs.q, first, n, self.inputs.content_bias);
        let placed = self.biased(self.inputs.q, first, n, self.inputs.place_bias);
        let mut by_distance = vec![0.0; n * distances];
        let (pm, rm) = (Mat::new(&placed, dim), self.rows(self.inputs.r, 0).t());
        matmul(
            &mut by_distance,
            distances,
            Gemm::new([n, distances, dim], pm, rm).scaled(self.dims.scale).on(Threads::One),
        );
        let mut by_segment = Vec::new();
        if let Some((bias, embedding)) = self.inputs.segments {
            let typed = self.biased(self.inputs.q, first, n, bias);
            for row in typed.chunks_exact(dim) {
                for s in 0..2 {
                    let e = &self.rows(embedding, s).data[..dim];
                    by_segment.push(self.dims.scale * inner(row, e));
                }
            }
        }
        Block { places, blind, content, placed, by_distance, by_segment }
    }

    /// Whether the place i sees no key at all.
    fn is_blind(&self, i: usize) -> bool {
        let masked = self.view.keys.is_some() || self.view.permutation.is_some();
        if self.view.own || !masked {
            return false;
        }
        let keys = self.dims.keys();
        let mut s = vec![0.0; keys];
        self.mask(&mut s, i, 0..keys);
        s.iter().all(|&v| v == f32::NEG_INFINITY)
    }

    /// Sets what place i must not see among keys `k` to -inf.
    fn mask(&self, s: &mut [f32], i: usize, k: std::ops::Range<usize>) {
        let RelativeSizes { time, memory, .. } = self.dims;
        // Of the keys that are not memory.
        let from = k.start.max(memory);
        if from < k.end {
            let (cut, own) = (from - k.start, from - memory..k.end - memory);
            if let Some(keys) = self.view.keys {
                hide_keys(&mut s[cut..], &keys[self.b * time..][own.clone()]);
            }
            if let Some(hidden) = self.view.permutation {
                hide(&mut s[cut..], &hidden[(self.b * time + i) * time..][own]);
            }
        }
        if self.view.causal {
            let end = (i + memory + 1).clamp(k.start, k.end) - k.start;
            s[end..].fill(f32::NEG_INFINITY);
            if self.view.same_length {
                let old = i.min(time).clamp(k.start, k.end) - k.start;
                s[..old].fill(f32::NEG_INFINITY);
            }
        }
    }

    /// Scores [n, w] of a tile, masked.
    fn scores(&self, block: &Block, k: std::ops::Range<usize>, s: &mut [f32]) {
        let RelativeSizes { dim, time, memory, distances, scale, .. } = self.dims;
        let (n, w) = (block.places.len(), k.len());
        let km = self.rows(self.inputs.k, self.b * self.dims.keys() + k.start);
        let qm = Mat::new(&block.content, dim);
        matmul(s, w, Gemm::new([n, w, dim], qm, km.t()).scaled(scale).on(Threads::One));
        for (a, s) in s.chunks_exact_mut(w).enumerate() {
            let Ok(i) = usize::try_from(block.places[a]) else {
                s.fill(f32::NEG_INFINITY);
                continue;
            };
            if block.blind[a] {
                // As in the reference: it puts -1e30 on every score, which leaves them all equal.
                s.fill(0.0);
                continue;
            }
            let row = &block.by_distance[a * distances..(a + 1) * distances];
            axpy(s, 1.0, &row[(time - i + k.start).min(distances)..]);
            if let [same, other] = block.by_segment.get(2 * a..2 * a + 2).unwrap_or_default()[..] {
                let own = self.types[memory + i];
                add_segments(s, &self.types[k.clone()], own, same, other);
            }
            let kept =
                (self.view.own && k.contains(&(memory + i))).then(|| s[memory + i - k.start]);
            self.mask(s, i, k.clone());
            if let Some(kept) = kept {
                s[memory + i - k.start] = kept;
            }
        }
    }
}

/// out [batch, queries, heads, dim] and the scores' log-sum-exp [batch, heads, queries].
pub(crate) fn forward(
    inputs: Inputs<'_>,
    dims: RelativeSizes,
    view: View<'_>,
    out: &mut [f32],
    lse: &mut [f32],
) {
    let RelativeSizes { queries, heads, dim, .. } = dims;
    let keys = dims.keys();
    let (out, lse) = (DisjointMut::new(out), DisjointMut::new(lse));
    tasks(dims.batch * heads, |task| {
        let (b, h) = (task / heads, task % heads);
        let head = Head::new(dims, view, inputs, b, h);
        let mut s = vec![0.0f32; QUERIES * KEYS];
        let mut acc = vec![0.0f32; QUERIES * dim];
        for qr in blocks(queries, QUERIES) {
            let n = qr.len();
            let block = head.block(qr.clone());
            let acc = &mut acc[..n * dim];
            acc.fill(0.0);
            let (mut top, mut sum) = ([f32::NEG_INFINITY; QUERIES], [0.0f32; QUERIES]);
            for kr in blocks(keys, KEYS) {
                let w = kr.len();
                let s = &mut s[..n * w];
                head.scores(&block, kr.clone(), s);
                online_block(s, w, &mut top[..n], &mut sum[..n], acc, dim);
                let vm = head.rows(inputs.v, b * keys + kr.start);
                matmul(
                    acc,
                    dim,
                    Gemm::new([n, dim, w], Mat::new(s, w), vm).added(true).on(Threads::One),
                );
            }
            for (a, t) in qr.enumerate() {
                let (scale, log) = if sum[a] != 0.0 {
                    (1.0 / sum[a], top[a] + sum[a].ln())
                } else if block.places[a] < 0 {
                    // +inf makes every probability of the backward pass 0.
                    (0.0, f32::INFINITY)
                } else {
                    // Scores of -inf alone: something overflowed, which must not look like a mask.
                    (f32::NAN, f32::NAN)
                };
                // SAFETY: head h of query t, and its log-sum-exp, belong to this task alone.
                #[allow(unsafe_code)]
                let (o, l) = unsafe {
                    let at = ((b * queries + t) * heads + h) * dim;
                    (out.slice(at, dim), lse.slice(task * queries + t, 1))
                };
                finish_row(&acc[a * dim..(a + 1) * dim], scale, o);
                l[0] = log;
            }
        }
    });
}
