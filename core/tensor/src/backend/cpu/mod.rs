//! CPU kernels. Every kernel splits its work in a way that does not depend on the number
//! of threads, and each element is computed by one task in one order: same bytes on any count.
//!
//! This file turns tensors into slices; most kernels take slices only.

mod attention;
mod blocked;
mod cached;
mod cast;
mod columns;
mod cross_entropy;
mod elementwise;
mod embedding;
pub(crate) mod feed_forward;
mod gemm;
mod int8;
mod mat;
pub(crate) mod math;
mod newton_schulz;
mod norm;
mod optim;
mod packed;
mod panels;
pub(crate) mod parallel;
pub(crate) mod peak;
pub(crate) mod projection;
#[cfg(test)]
mod reference;
mod relative;
mod rotary;
pub(crate) mod simd;
mod skinny;
mod team;
mod tile;

use super::{
    AdamW, Attention, AttentionSaved, Backend, Binary, CachedAttention, Columns, CrossEntropy,
    FeedForward, FeedForwardGradients, FeedForwardSaved, LogProbSaved, NormGradients, Normalised,
    PackedProduct, Product, Projection, RelativeAttention, Unary,
};
use crate::{
    dtype::{Bf16, DType},
    memory::{Allocator, HostAllocator},
    rng::Rng,
    tensor::{Ids, Tensor},
};
use attention::MaskView;
use mat::{Gemm, Mat, Threads};
use parallel::DisjointMut;

/// All cores of this machine.
pub struct Cpu;

impl Backend for Cpu {
    fn allocator(&self) -> &'static dyn Allocator {
        &HostAllocator
    }

    fn name(&self) -> Option<&'static str> {
        Some("cpu")
    }

    fn convert(&self, x: &Tensor, out: &mut Tensor) {
        match (x.dtype(), out.dtype()) {
            (DType::F32, DType::F32) => cast::widen::<f32>(x.cpu(), out.cpu_mut()),
            (DType::F32, DType::Bf16) => cast::narrow::<Bf16>(x.cpu(), out.elements_mut()),
            (DType::Bf16, DType::F32) => cast::widen::<Bf16>(x.elements(), out.cpu_mut()),
            (DType::Bf16, DType::Bf16) => {
                out.elements_mut::<Bf16>().copy_from_slice(x.elements());
            }
        }
    }

    fn unary(&self, op: Unary, x: &Tensor, y: &mut Tensor) {
        elementwise::unary(op, x.cpu(), y.cpu_mut());
    }

    fn unary_grad(&self, op: Unary, x: &Tensor, grad: &mut Tensor) {
        elementwise::unary_grad(op, x.cpu(), grad.cpu_mut());
    }

    fn binary(&self, op: Binary, a: &Tensor, b: &Tensor, y: &mut Tensor) {
        elementwise::binary(op, a.cpu(), b.cpu(), y.cpu_mut());
    }

    fn binary_grad(&self, op: Binary, sides: [&Tensor; 2], grad: &Tensor, to: [&mut Tensor; 2]) {
        let ([a, b], [da, db]) = (sides.map(Tensor::cpu), to.map(Tensor::cpu_mut));
        elementwise::binary_grad(op, a, b, grad.cpu(), da, db);
    }

    fn add_assign(&self, sum: &mut Tensor, x: &Tensor) {
        elementwise::add_into(sum.cpu_mut(), x.cpu());
    }

    fn scale(&self, x: &mut Tensor, c: f32) {
        elementwise::scale(x.cpu_mut(), c);
    }

    fn scale_by(&self, x: &mut Tensor, factor: &Tensor) {
        let factor = factor.cpu()[0];
        if factor != 1.0 {
            elementwise::scale(x.cpu_mut(), factor);
        }
    }

    fn weighted_sum(&self, x: &mut Tensor, a: f32, y: &Tensor, b: f32) {
        elementwise::weighted_sum(x.cpu_mut(), a, y.cpu(), b);
    }

    fn sum(&self, x: &Tensor, total: &mut Tensor) {
        total.cpu_mut()[0] = elementwise::total(x.cpu());
    }

    fn broadcast(&self, value: &Tensor, out: &mut Tensor) {
        out.cpu_mut().fill(value.cpu()[0]);
    }

    fn sum_rows(&self, x: &Tensor, sums: &mut Tensor) {
        let width = sums.len();
        sums.cpu_mut().copy_from_slice(&elementwise::sum_rows(x.cpu(), width));
    }

    fn sum_squares(&self, x: &Tensor) -> f64 {
        elementwise::total_squares(x.cpu())
    }

    fn all_finite(&self, x: &Tensor) -> bool {
        x.cpu().iter().all(|v| v.is_finite())
    }

    fn dropout(&self, x: &Tensor, key: Rng, p: f32, y: &mut Tensor) {
        elementwise::dropout(x.cpu(), y.cpu_mut(), key, p);
    }

    fn copy_columns(&self, from: (&Tensor, Columns), to: (&mut Tensor, Columns), width: usize) {
        let ((from, at), (to, to_at)) = (from, to);
        match from.dtype() {
            DType::F32 => columns::copy(from.cpu(), at, to.cpu_mut(), to_at, width),
            DType::Bf16 => {
                columns::copy::<Bf16>(from.elements(), at, to.elements_mut(), to_at, width)
            }
        }
    }

    fn matmul(&self, product: Product<'_>, out: &mut Tensor) {
        let sizes = product.sizes();
        let [a, b] = [(product.a, product.transposed[0]), (product.b, product.transposed[1])].map(
            |(x, transposed)| {
                let matrix = Mat::new(x.cpu(), x.rows().1);
                if transposed { matrix.t() } else { matrix }
            },
        );
        let (out, width, add) = (out.cpu_mut(), sizes[1], product.accumulate);
        gemm::matmul(out, width, Gemm::new(sizes, a, b).added(add));
    }

    fn add_bias(&self, z: &mut Tensor, bias: &Tensor) {
        elementwise::add_bias(z.cpu_mut(), bias.cpu());
    }

    fn packed_product(&self, product: PackedProduct<'_>, out: &mut Tensor) -> bool {
        let PackedProduct { x, w, layout, packed } = product;
        packed::product(x.cpu(), x.rows().0, w, layout, packed, out.cpu_mut())
    }

    fn feed_forward(&self, x: &FeedForward<'_>, kept: Option<&mut Tensor>, y: &mut Tensor) {
        feed_forward::forward(x, kept.map(Tensor::cpu_mut), y.cpu_mut());
    }

    fn feed_forward_grad(
        &self,
        x: &FeedForward<'_>,
        saved: FeedForwardSaved<'_>,
        gradients: FeedForwardGradients<'_>,
    ) {
        feed_forward::backward(x, saved, gradients);
    }

    fn norm(&self, x: Normalised<'_>, y: &mut Tensor) {
        let bias = x.bias.map(Tensor::cpu);
        norm::forward(x.kind, x.x.cpu(), x.weight.cpu(), bias, x.epsilon, y.cpu_mut());
    }

    fn add_norm(&self, x: Normalised<'_>, other: &Tensor, sum: &mut Tensor, y: &mut Tensor) {
        norm::forward_sum(
            x.kind,
            x.x.cpu(),
            other.cpu(),
            x.weight.cpu(),
            x.bias.map(Tensor::cpu),
            x.epsilon,
            sum.cpu_mut(),
            y.cpu_mut(),
        );
    }

    fn norm_grad(&self, x: Normalised<'_>, grad: &Tensor, gradients: NormGradients<'_>) {
        norm::backward(
            x.kind,
            x.x.cpu(),
            x.weight.cpu(),
            x.epsilon,
            grad.cpu(),
            gradients.x.cpu_mut(),
            gradients.weight.cpu_mut(),
            gradients.bias.map(Tensor::cpu_mut),
        );
    }

    fn gather(&self, table: &Tensor, ids: &Ids, out: &mut Tensor) {
        let width = out.len().checked_div(ids.len()).unwrap_or(0);
        match table.dtype() {
            DType::F32 => embedding::gather::<f32>(table.cpu(), ids.host(), width, out.cpu_mut()),
            DType::Bf16 => {
                embedding::gather::<Bf16>(table.elements(), ids.host(), width, out.elements_mut());
            }
        }
    }

    fn scatter_add(&self, table: &mut Tensor, ids: &Ids, skip: Option<i32>, rows: &Tensor) {
        let width = rows.rows().1;
        embedding::scatter_add(table.cpu_mut(), ids.host(), skip, width, rows.cpu());
    }

    fn rotary(&self, x: &Tensor, positions: &Ids, tables: &[Tensor; 2], sign: f32, y: &mut Tensor) {
        let [cos, sin] = tables;
        let width = x.shape()[2] * x.shape()[3];
        rotary::rotate(
            x.cpu(),
            positions.host(),
            cos.cpu(),
            sin.cpu(),
            cos.shape()[1],
            width,
            sign,
            y.cpu_mut(),
        );
    }

    fn attention(&self, x: &Attention<'_>, out: &mut Tensor, lse: &mut Tensor) {
        let ([q, k, v], [ql, kl, vl]) = (x.qkv.map(Tensor::cpu), x.layouts);
        let mask = MaskView::new(x.mask);
        attention::forward(q, ql, k, kl, v, vl, x.sizes, mask, out.cpu_mut(), lse.cpu_mut());
    }

    fn attention_grad(&self, x: &Attention<'_>, saved: AttentionSaved<'_>, to: &mut [Tensor]) {
        let ([q, k, v], [ql, kl, vl]) = (x.qkv.map(Tensor::cpu), x.layouts);
        let (out, lse, dout) = (saved.out.cpu(), saved.lse.cpu(), saved.grad.cpu());
        let saved = attention::Saved { q, ql, k, kl, v, vl, out, lse, dout };
        let to: Vec<DisjointMut> = to.iter_mut().map(|t| DisjointMut::new(t.cpu_mut())).collect();
        let to = [0, 1, 2].map(|i| to[if to.len() == 1 { 0 } else { i }]);
        attention::backward(&saved, x.sizes, MaskView::new(x.mask), to);
    }

    fn cache_write(&self, cache: &mut Tensor, new: &Tensor, starts: &Ids) {
        let (starts, time) = (starts.host(), new.shape()[1]);
        let sizes = [cache.shape()[1], time, cache.shape()[2] * cache.shape()[3]];
        match cache.dtype() {
            DType::F32 => cached::write::<f32>(cache.cpu_mut(), new.cpu(), starts, sizes),
            DType::Bf16 => cached::write::<Bf16>(cache.elements_mut(), new.cpu(), starts, sizes),
        }
    }

    fn attention_cached(&self, x: &CachedAttention<'_>, out: &mut Tensor) {
        match x.k.dtype() {
            DType::F32 => cached::attention::<f32>(x, out.cpu_mut()),
            DType::Bf16 => cached::attention::<Bf16>(x, out.cpu_mut()),
        }
    }

    fn relative_attention(&self, x: &RelativeAttention<'_>, out: &mut Tensor, lse: &mut Tensor) {
        let (inputs, view) = (relative::Inputs::new(x.inputs), relative::View::new(x.mask));
        relative::forward(inputs, x.sizes, view, out.cpu_mut(), lse.cpu_mut());
    }

    fn relative_attention_grad(
        &self,
        x: &RelativeAttention<'_>,
        saved: AttentionSaved<'_>,
        to: &mut [Tensor],
    ) {
        let (inputs, view) = (relative::Inputs::new(x.inputs), relative::View::new(x.mask));
        let (out, lse, dout) = (saved.out.cpu(), saved.lse.cpu(), saved.grad.cpu());
        let saved = relative::Saved { out, lse, dout };
        relative::backward(inputs, &saved, x.sizes, view, relative::Outputs::new(to));
    }

    fn cross_entropy(&self, x: &Projection<'_>, weights: &[f32], to: CrossEntropy<'_>) {
        to.loss.cpu_mut()[0] =
            projection::cross_entropy(x, weights, to.log_probs.cpu_mut(), to.gradients);
    }

    fn log_prob(&self, x: &Projection<'_>, scale: f32, to: [&mut Tensor; 3]) {
        projection::log_prob(x, scale, to.map(Tensor::cpu_mut));
    }

    fn log_prob_grad(
        &self,
        x: &Projection<'_>,
        saved: LogProbSaved<'_>,
        gradients: [Option<&mut Tensor>; 2],
    ) {
        projection::log_prob_grad(x, saved, gradients);
    }

    fn log_softmax(&self, x: &Tensor, y: &mut Tensor) {
        cross_entropy::log_softmax(x.cpu(), x.rows().1, y.cpu_mut());
    }

    fn log_softmax_grad(&self, y: &Tensor, grad: &Tensor, dx: &mut Tensor) {
        cross_entropy::log_softmax_grad(y.cpu(), grad.cpu(), y.rows().1, dx.cpu_mut());
    }

    fn draw(&self, logits: &Tensor, rng: Rng) -> Vec<[i32; 2]> {
        let (rows, width) = logits.rows();
        let mut found = vec![[0; 2]; rows];
        let uniform = |row: usize| rng.uniform_f64(row as u64);
        cross_entropy::draw(logits.cpu(), width, uniform, &mut found);
        found
    }

    fn adamw(&self, p: &mut Tensor, g: &Tensor, moments: [&mut Tensor; 2], by: AdamW, step: u64) {
        let [mean, square] = moments.map(Tensor::cpu_mut);
        optim::adamw(p.cpu_mut(), g.cpu(), mean, square, by, step);
    }

    fn nesterov(&self, m: &mut Tensor, g: &Tensor, beta: f32, scale: f32, ahead: &mut Tensor) {
        optim::nesterov(m.cpu_mut(), g.cpu(), beta, scale, ahead.cpu_mut());
    }

    fn newton_schulz(&self, g: &Tensor, among: bool, out: &mut Tensor) {
        let threads = if among { Threads::One } else { Threads::All };
        let (rows, columns) = g.rows();
        newton_schulz::newton_schulz(g.cpu(), [rows, columns], out.cpu_mut(), threads);
    }
}
