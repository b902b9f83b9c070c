//! The kernels of [`Device::Plan`](crate::Device::Plan), which compute nothing. Each allocates the temporary pooled
//! memory that the CPU's kernel allocates, and copies a shared output before writing, as the CPU's does.

use super::{
    AdamW, Attention, AttentionSaved, Backend, Binary, CachedAttention, Columns, CrossEntropy,
    FeedForward, FeedForwardGradients, FeedForwardSaved, LogProbSaved, NormGradients, Normalised,
    PackedProduct, Product, Projection, RelativeAttention, Unary, cpu,
};
use crate::{
    memory::{Allocator, PlanAllocator},
    pool::Planned,
    rng::Rng,
    tensor::{Ids, Tensor},
};

/// Counts memory.
pub(crate) struct Plan;

/// A buffer of f32 that a kernel takes for itself.
fn room(len: usize) -> Planned {
    Planned::counted(len * size_of::<f32>())
}

/// The blocks of logits, one after another.
fn logits(x: &Projection<'_>) {
    let [rows, vocabulary, _] = x.sizes();
    for rows in cpu::projection::blocks(rows, vocabulary) {
        drop(room(rows.len() * vocabulary));
    }
}

impl Plan {
    /// Blocks of the inner layer that a feed-forward kernel holds at once.
    fn inner_blocks(x: &FeedForward<'_>, count: usize) {
        let [rows, _, inner, _] = x.sizes();
        let block = cpu::feed_forward::block_rows(rows, inner) * inner;
        drop((0..count).map(|_| room(block)).collect::<Vec<_>>());
    }
}

impl Backend for Plan {
    fn allocator(&self) -> &'static dyn Allocator {
        &PlanAllocator
    }

    fn convert(&self, _: &Tensor, _: &mut Tensor) {}

    fn unary(&self, _: Unary, _: &Tensor, _: &mut Tensor) {}

    fn unary_grad(&self, _: Unary, _: &Tensor, grad: &mut Tensor) {
        grad.own();
    }

    fn binary(&self, _: Binary, _: &Tensor, _: &Tensor, _: &mut Tensor) {}

    fn binary_grad(&self, _: Binary, _: [&Tensor; 2], _: &Tensor, _: [&mut Tensor; 2]) {}

    fn add_assign(&self, sum: &mut Tensor, _: &Tensor) {
        sum.own();
    }

    fn scale(&self, x: &mut Tensor, _: f32) {
        x.own();
    }

    fn scale_by(&self, x: &mut Tensor, _: &Tensor) {
        x.own();
    }

    fn weighted_sum(&self, x: &mut Tensor, _: f32, _: &Tensor, _: f32) {
        x.own();
    }

    fn sum(&self, _: &Tensor, _: &mut Tensor) {}

    fn broadcast(&self, _: &Tensor, _: &mut Tensor) {}

    fn sum_rows(&self, _: &Tensor, _: &mut Tensor) {}

    fn sum_squares(&self, _: &Tensor) -> f64 {
        0.0
    }

    fn all_finite(&self, _: &Tensor) -> bool {
        true
    }

    fn dropout(&self, _: &Tensor, _: Rng, _: f32, _: &mut Tensor) {}

    fn copy_columns(&self, _: (&Tensor, Columns), _: (&mut Tensor, Columns), _: usize) {}

    fn matmul(&self, _: Product<'_>, out: &mut Tensor) {
        out.own();
    }

    fn add_bias(&self, z: &mut Tensor, _: &Tensor) {
        z.own();
    }

    fn packed_product(&self, _: PackedProduct<'_>, _: &mut Tensor) -> bool {
        false
    }

    fn feed_forward(&self, x: &FeedForward<'_>, kept: Option<&mut Tensor>, _: &mut Tensor) {
        Self::inner_blocks(x, if kept.is_some() { 1 } else { 2 });
    }

    fn feed_forward_grad(
        &self,
        x: &FeedForward<'_>,
        saved: FeedForwardSaved<'_>,
        gradients: FeedForwardGradients<'_>,
    ) {
        Self::inner_blocks(x, if saved.inner.is_some() { 2 } else { 3 });
        for sum in [gradients.up, gradients.down].into_iter().flatten() {
            sum.to.own();
        }
    }

    fn norm(&self, _: Normalised<'_>, _: &mut Tensor) {}

    fn add_norm(&self, _: Normalised<'_>, _: &Tensor, _: &mut Tensor, _: &mut Tensor) {}

    fn norm_grad(&self, _: Normalised<'_>, _: &Tensor, _: NormGradients<'_>) {}

    fn gather(&self, _: &Tensor, _: &Ids, _: &mut Tensor) {}

    fn scatter_add(&self, table: &mut Tensor, _: &Ids, _: Option<i32>, _: &Tensor) {
        table.own();
    }

    fn rotary(&self, _: &Tensor, _: &Ids, _: &[Tensor; 2], _: f32, _: &mut Tensor) {}

    fn attention(&self, _: &Attention<'_>, _: &mut Tensor, _: &mut Tensor) {}

    fn attention_grad(&self, _: &Attention<'_>, _: AttentionSaved<'_>, _: &mut [Tensor]) {}

    fn cache_write(&self, cache: &mut Tensor, _: &Tensor, _: &Ids) {
        cache.own();
    }

    fn attention_cached(&self, _: &CachedAttention<'_>, _: &mut Tensor) {}

    fn relative_attention(&self, _: &RelativeAttention<'_>, _: &mut Tensor, _: &mut Tensor) {}

    fn relative_attention_grad(
        &self,
        _: &RelativeAttention<'_>,
        _: AttentionSaved<'_>,
        _: &mut [Tensor],
    ) {
    }

    fn cross_entropy(&self, x: &Projection<'_>, _: &[f32], _: CrossEntropy<'_>) {
        logits(x);
    }

    fn log_prob(&self, x: &Projection<'_>, _: f32, _: [&mut Tensor; 3]) {
        logits(x);
    }

    fn log_prob_grad(&self, x: &Projection<'_>, _: LogProbSaved<'_>, _: [Option<&mut Tensor>; 2]) {
        logits(x);
    }

    fn log_softmax(&self, _: &Tensor, _: &mut Tensor) {}

    fn log_softmax_grad(&self, _: &Tensor, _: &Tensor, _: &mut Tensor) {}

    fn draw(&self, logits: &Tensor, _: Rng) -> Vec<[i32; 2]> {
        vec![[0; 2]; logits.rows().0]
    }

    fn adamw(&self, p: &mut Tensor, _: &Tensor, [m, v]: [&mut Tensor; 2], _: AdamW, _: u64) {
        [p, m, v].into_iter().for_each(Tensor::own);
    }

    fn nesterov(&self, m: &mut Tensor, _: &Tensor, _: f32, _: f32, _: &mut Tensor) {
        m.own();
    }

    fn newton_schulz(&self, g: &Tensor, _: bool, _: &mut Tensor) {
        let (rows, columns) = g.rows();
        let square = || room(rows.min(columns).pow(2));
        drop([square(), square(), square(), square()]);
    }
}
