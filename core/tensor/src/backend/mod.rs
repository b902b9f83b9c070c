//! The kernels of a device, one method each. [`ops`](crate::ops) checks shapes, allocates the outputs and records
//! the derivative; a backend computes the numbers.
//!
//! A new device is a type that implements [`Backend`], and the [`Device`] that [`register`] returns for it. All
//! tensors of a call are on that device, except that [`Plan`](Device::Plan) also gets tensors with values. Sizes are
//! checked before the call. Outputs hold arbitrary content unless the method says otherwise, and may share memory
//! with another tensor: [`Tensor::memory_mut`] gives a tensor memory of its own.

mod args;
pub(crate) mod cpu;
mod names;
mod plan;

use std::sync::{PoisonError, RwLock};

pub use args::{
    AdamW, Attention, AttentionSaved, AttentionSizes, Binary, CachedAttention, Columns,
    CrossEntropy, FeedForward, FeedForwardGradients, FeedForwardSaved, GradientSum, HeadLayout,
    LogProbSaved, Mask, Norm, NormGradients, Normalised, PackedProduct, Product, Projection,
    RelativeAttention, RelativeMask, RelativeSizes, Unary, Weights, Window,
};
pub use cpu::Cpu;
pub use names::UnknownDevice;

use crate::{
    device::Device,
    memory::{self, Allocator},
    rng::Rng,
    tensor::{Ids, Tensor},
};

/// The kernels of one device.
pub trait Backend: Send + Sync {
    /// Allocates the memory of its tensors.
    fn allocator(&self) -> &'static dyn Allocator;

    /// The name by which users ask for the device; without one they cannot.
    fn name(&self) -> Option<&'static str> {
        None
    }

    /// out = x, rounded to the nearest of `out`'s format.
    fn convert(&self, x: &Tensor, out: &mut Tensor);

    /// y = op(x).
    fn unary(&self, op: Unary, x: &Tensor, y: &mut Tensor);

    /// grad *= op'(x).
    fn unary_grad(&self, op: Unary, x: &Tensor, grad: &mut Tensor);

    /// y = op(a, b).
    fn binary(&self, op: Binary, a: &Tensor, b: &Tensor, y: &mut Tensor);

    /// Gradients of the two sides, a and b.
    fn binary_grad(&self, op: Binary, sides: [&Tensor; 2], grad: &Tensor, to: [&mut Tensor; 2]);

    /// sum += x.
    fn add_assign(&self, sum: &mut Tensor, x: &Tensor);

    /// x *= c.
    fn scale(&self, x: &mut Tensor, c: f32);

    /// x *= factor, a tensor of one element.
    fn scale_by(&self, x: &mut Tensor, factor: &Tensor);

    /// x = a·x + b·y.
    fn weighted_sum(&self, x: &mut Tensor, a: f32, y: &Tensor, b: f32);

    /// total = Σ x, one element.
    fn sum(&self, x: &Tensor, total: &mut Tensor);

    /// Every element of out = value, a tensor of one element.
    fn broadcast(&self, value: &Tensor, out: &mut Tensor);

    /// sums [width] = the sum of the rows of x [.., width].
    fn sum_rows(&self, x: &Tensor, sums: &mut Tensor);

    /// Σ x², in f64 on the host.
    fn sum_squares(&self, x: &Tensor) -> f64;

    /// Whether every value is finite.
    fn all_finite(&self, x: &Tensor) -> bool;

    /// Zeroes each element with probability `p` and scales the others by 1/(1-p); which ones depends on the key
    /// and the element's index alone.
    fn dropout(&self, x: &Tensor, key: Rng, p: f32, y: &mut Tensor);

    /// Copies `width` columns from their place in one tensor to that in another, for as many rows as fit in both.
    fn copy_columns(&self, from: (&Tensor, Columns), to: (&mut Tensor, Columns), width: usize);

    /// out = a·b, or out += a·b.
    fn matmul(&self, product: Product<'_>, out: &mut Tensor);

    /// z += bias on every row.
    fn add_bias(&self, z: &mut Tensor, bias: &Tensor);

    /// out = x·W with packed weights; the first call packs them. Returns `false` and does nothing if unpacked
    /// weights are as fast.
    fn packed_product(&self, product: PackedProduct<'_>, out: &mut Tensor) -> bool;

    /// y = activation(x·W + b)·V + c; `kept` [rows, inner] = x·W + b, if it is given.
    fn feed_forward(&self, x: &FeedForward<'_>, kept: Option<&mut Tensor>, y: &mut Tensor);

    /// The wanted gradients.
    fn feed_forward_grad(
        &self,
        x: &FeedForward<'_>,
        saved: FeedForwardSaved<'_>,
        gradients: FeedForwardGradients<'_>,
    );

    /// y = the normalised rows.
    fn norm(&self, x: Normalised<'_>, y: &mut Tensor);

    /// sum = x.x + other; y = the normalised rows of that sum.
    fn add_norm(&self, x: Normalised<'_>, other: &Tensor, sum: &mut Tensor, y: &mut Tensor);

    /// Gradients of x, of the weight, and of the bias if it is wanted.
    fn norm_grad(&self, x: Normalised<'_>, grad: &Tensor, gradients: NormGradients<'_>);

    /// Row i of out = row ids[i] of the table, of any format.
    fn gather(&self, table: &Tensor, ids: &Ids, out: &mut Tensor);

    /// Row ids[i] of the table += row i of `rows`, in order, except where ids[i] is `skip`.
    fn scatter_add(&self, table: &mut Tensor, ids: &Ids, skip: Option<i32>, rows: &Tensor);

    /// Turns pairs (i, i + dim/2) of each head of x [batch, time, heads, dim] by `sign` times the angle of its
    /// token's position; the cosines and sines of the angles are rows of `tables` [positions, dim/2].
    fn rotary(&self, x: &Tensor, positions: &Ids, tables: &[Tensor; 2], sign: f32, y: &mut Tensor);

    /// out [batch, queries, heads·dim], zeros for a query that sees nothing, and the log-sum-exp of the scores
    /// [batch, heads, queries].
    fn attention(&self, x: &Attention<'_>, out: &mut Tensor, lse: &mut Tensor);

    /// Gradients like the inputs, zeros beforehand: one tensor if they are packed, else three.
    fn attention_grad(&self, x: &Attention<'_>, saved: AttentionSaved<'_>, to: &mut [Tensor]);

    /// Writes `new` [batch, time, heads, dim] into a cache [batch, capacity, heads, dim] of any format, row b from
    /// place `starts[b]` on.
    fn cache_write(&self, cache: &mut Tensor, new: &Tensor, starts: &Ids);

    /// out [batch, time, heads·dim]; query t of row b sees places 0..=starts[b] + t, the last `window` of them.
    fn attention_cached(&self, x: &CachedAttention<'_>, out: &mut Tensor);

    /// out [batch, queries, heads·dim] and the log-sum-exp of the scores [batch, heads, queries].
    fn relative_attention(&self, x: &RelativeAttention<'_>, out: &mut Tensor, lse: &mut Tensor);

    /// Gradients like the inputs, zeros beforehand.
    fn relative_attention_grad(
        &self,
        x: &RelativeAttention<'_>,
        saved: AttentionSaved<'_>,
        to: &mut [Tensor],
    );

    /// The loss Σ weights[i]·-log p(targets[i]) and what [`CrossEntropy`] lists besides.
    fn cross_entropy(&self, x: &Projection<'_>, weights: &[f32], to: CrossEntropy<'_>);

    /// Of each row of scale·logits: the target's log-probability, the log-sum-exp and the entropy in nats, in this
    /// order.
    fn log_prob(&self, x: &Projection<'_>, scale: f32, to: [&mut Tensor; 3]);

    /// Gradients of h and W that are wanted, from that of each row's log-probability.
    fn log_prob_grad(
        &self,
        x: &Projection<'_>,
        saved: LogProbSaved<'_>,
        gradients: [Option<&mut Tensor>; 2],
    );

    /// y = log-softmax of each row.
    fn log_softmax(&self, x: &Tensor, y: &mut Tensor);

    /// dx from the forward pass's y.
    fn log_softmax_grad(&self, y: &Tensor, grad: &Tensor, dx: &mut Tensor);

    /// A token of each row of logits, drawn with its probability (row i by counter i), and the likeliest, the
    /// first of equal ones.
    fn draw(&self, logits: &Tensor, rng: Rng) -> Vec<[i32; 2]>;

    /// One AdamW update of p with gradient g; `moments` are its mean and its mean square, `step` counts from 1.
    fn adamw(&self, p: &mut Tensor, g: &Tensor, moments: [&mut Tensor; 2], by: AdamW, step: u64);

    /// The momentum m = beta·m + scale·g; then ahead = beta·m + scale·g.
    fn nesterov(&self, m: &mut Tensor, g: &Tensor, beta: f32, scale: f32, ahead: &mut Tensor);

    /// out = the nearest semi-orthogonal matrix to g, roughly; on one thread if `among` others.
    fn newton_schulz(&self, g: &Tensor, among: bool, out: &mut Tensor);
}

static REGISTERED: RwLock<Vec<&'static dyn Backend>> = RwLock::new(Vec::new());

/// The device on which a backend computes.
///
/// # Panics
/// If there are 256 already.
pub fn register(backend: &'static dyn Backend) -> Device {
    let mut all = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    let device = memory::register(backend.allocator());
    all.push(backend);
    device
}

/// The kernels of a device.
pub(crate) fn of(device: Device) -> &'static dyn Backend {
    match device {
        Device::Cpu => &Cpu,
        Device::Plan => &plan::Plan,
        Device::Registered(number) => {
            REGISTERED.read().unwrap_or_else(PoisonError::into_inner)[usize::from(number)]
        }
    }
}
