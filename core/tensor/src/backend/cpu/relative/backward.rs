//! The derivative of attention with relative positions: FlashAttention-2's algorithm 2 (Dao 2023) with the
//! gradients of distances and segments.

use std::ops::Range;

use super::{Block, Head, Inputs, View, split_segments};
use crate::{
    backend::{
        RelativeSizes,
        cpu::{
            attention::{KEYS, QUERIES, axpy, blocks, inner, probabilities, score_grad},
            gemm::{matmul, matmul_raw},
            mat::{Gemm, Mat, Threads},
            parallel::{DisjointMut, tasks},
        },
    },
    tensor::Tensor,
};

/// Gradients, laid out like the inputs; each must be zero.
#[derive(Clone, Copy)]
pub(crate) struct Outputs {
    pub q: DisjointMut,
    pub k: DisjointMut,
    pub v: DisjointMut,
    pub r: DisjointMut,
    pub content_bias: DisjointMut,
    pub place_bias: DisjointMut,
    pub segments: Option<(DisjointMut, DisjointMut)>,
}

impl Outputs {
    /// In the order of the inputs.
    pub fn new(gradients: &mut [Tensor]) -> Self {
        let to: Vec<DisjointMut> =
            gradients.iter_mut().map(|t| DisjointMut::new(t.cpu_mut())).collect();
        Self {
            q: to[0],
            k: to[1],
            v: to[2],
            r: to[3],
            content_bias: to[4],
            place_bias: to[5],
            segments: to.get(6).map(|&bias| (bias, to[7])),
        }
    }
}

/// What the forward pass left, and the gradient of its output.
pub(crate) struct Saved<'a> {
    pub out: &'a [f32],
    pub lse: &'a [f32],
    pub dout: &'a [f32],
}

/// The derivative, from the saved log-sum-exp. A task owns a head, since distances and biases are
/// shared by the batch, and walks the batch in order: the same sums on any number of threads.
pub(crate) fn backward(
    inputs: Inputs<'_>,
    saved: &Saved<'_>,
    dims: RelativeSizes,
    view: View<'_>,
    to: Outputs,
) {
    let RelativeSizes { queries, heads, .. } = dims;
    tasks(heads, |h| {
        let mut p = vec![0.0f32; QUERIES * KEYS];
        let mut dp = vec![0.0f32; QUERIES * KEYS];
        for b in 0..dims.batch {
            let head = Head::new(dims, view, inputs, b, h);
            let lse = &saved.lse[(b * heads + h) * queries..][..queries];
            for qr in blocks(queries, QUERIES) {
                let mut gradients = BlockGradients::new(&head, saved, to, qr.clone());
                for kr in blocks(dims.keys(), KEYS) {
                    let size = qr.len() * kr.len();
                    gradients.keys(kr, &lse[qr.clone()], &mut p[..size], &mut dp[..size]);
                }
                gradients.queries();
                gradients.segments();
            }
        }
    });
}

/// The gradients of a block of queries of one head. The head's part of every gradient belongs to one task.
struct BlockGradients<'a> {
    head: &'a Head<'a>,
    to: Outputs,
    block: Block,
    /// The first query's token.
    first: usize,
    n: usize,
    /// The output's gradient.
    dout: Mat<'a>,
    /// Σ out·dout of each query.
    delta: Vec<f32>,
    /// By the contents of keys [n, dim].
    content: Vec<f32>,
    /// By distance [n, distances].
    distance: Vec<f32>,
    /// By the same and another segment [n, 2].
    segment: Vec<f32>,
}

impl<'a> BlockGradients<'a> {
    fn new(head: &'a Head<'a>, saved: &Saved<'a>, to: Outputs, qr: Range<usize>) -> Self {
        let RelativeSizes { queries, dim, distances, .. } = head.dims;
        let (n, first) = (qr.len(), head.b * queries + qr.start);
        let (dout, out) = (head.rows(saved.dout, first), head.rows(saved.out, first));
        let delta = (0..n).map(|a| {
            let at = a * head.dims.stride();
            inner(&out.data[at..at + dim], &dout.data[at..at + dim])
        });
        Self {
            delta: delta.collect(),
            content: vec![0.0; n * dim],
            distance: vec![0.0; n * distances],
            segment: vec![0.0; 2 * n],
            block: head.block(qr),
            head,
            to,
            first,
            n,
            dout,
        }
    }

    /// Adds a block of keys: their own gradients and their part of the queries'. `p` and `dp` are scratch.
    fn keys(&mut self, kr: Range<usize>, lse: &[f32], p: &mut [f32], dp: &mut [f32]) {
        let (head, to, n, w) = (self.head, self.to, self.n, kr.len());
        let RelativeSizes { dim, distances, time, memory, scale, .. } = head.dims;
        let (stride, one) = (head.dims.stride(), Threads::One);
        head.scores(&self.block, kr.clone(), p);
        probabilities(p, w, lse);
        let row = head.b * head.dims.keys() + kr.start;
        let (km, vm) = (head.rows(head.inputs.k, row), head.rows(head.inputs.v, row));
        matmul(dp, w, Gemm::new([n, w, dim], self.dout, vm.t()).on(one));
        let pm = Mat::new(p, w);
        // SAFETY: this head of the keys' and values' gradients belongs to this task alone, and
        // `at` checked that they start inside arrays laid out like the inputs.
        #[allow(unsafe_code)]
        unsafe {
            let dv = to.v.at(row * stride + head.h * dim);
            matmul_raw(dv, stride, Gemm::new([w, dim, n], pm.t(), self.dout).added(true).on(one));
        }
        score_grad(p, dp, w, &self.delta, 1.0);
        for (a, ds) in dp.chunks_exact(w).enumerate() {
            let Ok(i) = usize::try_from(self.block.places[a]) else { continue };
            let row = &mut self.distance[a * distances..(a + 1) * distances];
            axpy(&mut row[(time - i + kr.start).min(distances)..], 1.0, ds);
            if head.inputs.segments.is_some() {
                let sums = &mut self.segment[2 * a..2 * a + 2];
                split_segments(ds, &head.types[kr.clone()], head.types[memory + i], sums);
            }
        }
        let ds = Mat::new(dp, w);
        matmul(
            &mut self.content,
            dim,
            Gemm::new([n, dim, w], ds, km).scaled(scale).added(true).on(one),
        );
        let content = Mat::new(&self.block.content, dim);
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            let dk = to.k.at(row * stride + head.h * dim);
            matmul_raw(
                dk,
                stride,
                Gemm::new([w, dim, n], ds.t(), content).scaled(scale).added(true).on(one),
            );
        }
    }

    /// The gradients of the distances, of both biases and of the queries, once all keys were added.
    fn queries(&self) {
        let (head, to, n) = (self.head, self.to, self.n);
        let RelativeSizes { dim, distances, scale, .. } = head.dims;
        let (stride, at, one) = (head.dims.stride(), head.h * dim, Threads::One);
        let mut dplaced = vec![0.0f32; n * dim];
        let dd = Mat::new(&self.distance, distances);
        let rm = head.rows(head.inputs.r, 0);
        matmul(&mut dplaced, dim, Gemm::new([n, dim, distances], dd, rm).scaled(scale).on(one));
        let placed = Mat::new(&self.block.placed, dim);
        // SAFETY: this head of the distances' gradient belongs to this task alone.
        #[allow(unsafe_code)]
        unsafe {
            matmul_raw(
                to.r.at(at),
                stride,
                Gemm::new([distances, dim, n], dd.t(), placed).scaled(scale).added(true).on(one),
            );
        }
        // SAFETY: this head's biases and queries belong to this task alone.
        #[allow(unsafe_code)]
        let (content_bias, place_bias) =
            unsafe { (to.content_bias.slice(at, dim), to.place_bias.slice(at, dim)) };
        for (a, (content, placed)) in
            self.content.chunks_exact(dim).zip(dplaced.chunks_exact(dim)).enumerate()
        {
            axpy(content_bias, 1.0, content);
            axpy(place_bias, 1.0, placed);
            // SAFETY: as above.
            #[allow(unsafe_code)]
            let dq = unsafe { to.q.slice((self.first + a) * stride + at, dim) };
            axpy(dq, 1.0, content);
            axpy(dq, 1.0, placed);
        }
    }

    /// The gradients of the segments' bias and embedding, and their part of the queries'.
    fn segments(&self) {
        let (head, to) = (self.head, self.to);
        let (Some((bias, embedding)), Some((to_bias, to_embedding))) =
            (head.inputs.segments, to.segments)
        else {
            return;
        };
        let RelativeSizes { dim, scale, .. } = head.dims;
        let (stride, at) = (head.dims.stride(), head.h * dim);
        let typed = head.biased(head.inputs.q, self.first, self.n, bias);
        for (a, sums) in self.segment.chunks_exact(2).enumerate() {
            for (s, &sum) in sums.iter().enumerate() {
                let e = &head.rows(embedding, s).data[..dim];
                // SAFETY: this head's biases, embeddings and queries belong to this task alone.
                #[allow(unsafe_code)]
                let (dq, db, de) = unsafe {
                    (
                        to.q.slice((self.first + a) * stride + at, dim),
                        to_bias.slice(at, dim),
                        to_embedding.slice(s * stride + at, dim),
                    )
                };
                axpy(dq, scale * sum, e);
                axpy(db, scale * sum, e);
                axpy(de, scale * sum, &typed[a * dim..(a + 1) * dim]);
            }
        }
    }
}
