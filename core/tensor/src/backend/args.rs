//! Arguments of kernels: functions, sizes, layouts and masks. [`ops`](crate::ops) checks them before a call.

use crate::{
    packed::PackedWeights,
    tensor::{Ids, Tensor},
};

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// e^x.
    Exp,
    /// Natural logarithm.
    Log,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// ln sigmoid(x), without overflow.
    LogSigmoid,
    /// x².
    Square,
    /// Hyperbolic tangent.
    Tanh,
    /// x·Φ(x).
    Gelu,
    /// GELU's tanh form.
    GeluTanh,
    /// x·sigmoid(x).
    Silu,
    /// max(0, x).
    Relu,
    /// c·x.
    Scale(f32),
    /// x + c.
    Offset(f32),
    /// x limited to [low, high].
    Clamp(f32, f32),
}

/// A function of two values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Binary {
    /// a + b.
    Add,
    /// a - b.
    Sub,
    /// a·b.
    Mul,
    /// a / b.
    Div,
    /// The lesser; at a tie the gradient goes to a.
    Min,
    /// The greater; at a tie the gradient goes to a.
    Max,
    /// silu(a)·b.
    SwiGlu,
}

/// How rows are normalised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    /// To mean 0 and variance 1.
    Layer,
    /// To mean square 1.
    Rms,
}

/// How a weight matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// [out, in]: PyTorch's `nn.Linear`.
    OutIn,
    /// [in, out]: GPT-2's `Conv1D`.
    InOut,
}

impl Weights {
    /// (in, out) of a matrix stored so.
    ///
    /// # Panics
    /// If the shape is not that of a matrix.
    pub fn sizes(self, shape: &[usize]) -> (usize, usize) {
        match (self, shape) {
            (Self::OutIn, &[out, inner]) => (inner, out),
            (Self::InOut, &[inner, out]) => (inner, out),
            _ => panic!("linear: weights of shape {shape:?}, a matrix was expected"),
        }
    }

    /// Whether the matrix is the transpose of [in, out].
    pub fn is_transposed(self) -> bool {
        self == Self::OutIn
    }
}

/// a·b of matrices; tensors of more dimensions are rows of their last one.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    /// The left side.
    pub a: &'a Tensor,
    /// The right side.
    pub b: &'a Tensor,
    /// Which of the two are transposed first.
    pub transposed: [bool; 2],
    /// Whether the product is added to what is there.
    pub accumulate: bool,
}

impl Product<'_> {
    /// Rows and columns of the product, and the length of its sums.
    pub fn sizes(&self) -> [usize; 3] {
        let ([a, b], [turned_a, turned_b]) = ([self.a.rows(), self.b.rows()], self.transposed);
        let (m, k) = if turned_a { (a.1, a.0) } else { a };
        [m, if turned_b { b.0 } else { b.1 }, k]
    }
}

/// x·W with weights that were packed, or that the first call packs.
#[derive(Clone, Copy)]
pub struct PackedProduct<'a> {
    /// x [.., in].
    pub x: &'a Tensor,
    /// W.
    pub w: &'a Tensor,
    /// How W is stored.
    pub layout: Weights,
    /// Its packed form.
    pub packed: &'a PackedWeights,
}

/// A gradient to be written, or added to what is there.
pub struct GradientSum<'a> {
    /// Its place.
    pub to: &'a mut Tensor,
    /// Whether to add.
    pub accumulate: bool,
}

impl<'a> GradientSum<'a> {
    /// From a tensor and whether it holds a sum so far.
    pub fn new((to, accumulate): &'a mut (Tensor, bool)) -> Self {
        Self { to, accumulate: *accumulate }
    }
}

/// Columns of a matrix that lie side by side in a tensor: row i is `width` elements from
/// `i·stride + offset` on.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// Elements from a row to the next.
    pub stride: usize,
    /// The first element of row 0.
    pub offset: usize,
}

/// activation(x·W + b)·V + c.
#[derive(Clone, Copy)]
pub struct FeedForward<'a> {
    /// x [.., in].
    pub x: &'a Tensor,
    /// W.
    pub up: &'a Tensor,
    /// b [inner].
    pub up_bias: &'a Tensor,
    /// V.
    pub down: &'a Tensor,
    /// c [out].
    pub down_bias: &'a Tensor,
    /// How W and V are stored.
    pub layout: Weights,
    /// The function between.
    pub activation: Unary,
}

impl FeedForward<'_> {
    /// Rows, in, inner and out.
    pub fn sizes(&self) -> [usize; 4] {
        let (rows, width) = self.x.rows();
        [rows, width, self.up_bias.len(), self.down_bias.len()]
    }
}

/// What the backward pass of a [`FeedForward`] reads beside its inputs.
#[derive(Clone, Copy)]
pub struct FeedForwardSaved<'a> {
    /// x·W + b [rows, inner], if the forward pass kept it; else it is computed again.
    pub inner: Option<&'a Tensor>,
    /// The output's gradient.
    pub grad: &'a Tensor,
}

/// The gradients of a [`FeedForward`] that are wanted.
pub struct FeedForwardGradients<'a> {
    /// Of x, to be written.
    pub x: Option<&'a mut Tensor>,
    /// Of W.
    pub up: Option<GradientSum<'a>>,
    /// Of b; zeros beforehand.
    pub up_bias: Option<&'a mut Tensor>,
    /// Of V.
    pub down: Option<GradientSum<'a>>,
    /// Of c; zeros beforehand.
    pub down_bias: Option<&'a mut Tensor>,
}

/// x normalised over its last dimension, times weight, plus bias.
#[derive(Clone, Copy)]
pub struct Normalised<'a> {
    /// How.
    pub kind: Norm,
    /// x [.., width].
    pub x: &'a Tensor,
    /// [width].
    pub weight: &'a Tensor,
    /// [width].
    pub bias: Option<&'a Tensor>,
    /// Added to the variance or the mean square.
    pub epsilon: f32,
}

/// The gradients of a [`Normalised`], to be written.
pub struct NormGradients<'a> {
    /// Of x.
    pub x: &'a mut Tensor,
    /// Of the weight.
    pub weight: &'a mut Tensor,
    /// Of the bias, if it is wanted.
    pub bias: Option<&'a mut Tensor>,
}

/// The keys near a query: those at most `before` places before it and `after` places after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Places before the query.
    pub before: usize,
    /// Places after the query.
    pub after: usize,
}

impl Window {
    /// The last `count` places, at least 1, counting the query's own; and all places after it, which a causal
    /// mask hides.
    pub fn last(count: usize) -> Self {
        Self { before: count.saturating_sub(1), after: usize::MAX }
    }

    /// As many places before the query as after it: a local encoder, such as ModernBERT (Warner et al. 2024).
    pub fn around(places: usize) -> Self {
        Self { before: places, after: places }
    }
}

/// Which keys a query may see; all conditions must hold. Ids are [batch, time]. Where queries and keys are of
/// different sequences, only `keys` may be given, [batch, keys].
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// Only keys at or before the query.
    pub causal: bool,
    /// Only keys of the query's document.
    pub documents: Option<Ids>,
    /// Only keys marked 1: padding is 0.
    pub keys: Option<Ids>,
    /// Only keys near the query: a sliding window (Beltagy et al. 2020, section 3.1).
    pub window: Option<Window>,
    /// Rows of different lengths behind one another in a batch of one, so that no padding is computed:
    /// row i is the tokens `starts[i]..starts[i + 1]` and sees only its own. [rows + 1].
    pub starts: Option<Ids>,
}

impl Mask {
    /// Causal and nothing else.
    pub fn causal() -> Self {
        Self { causal: true, ..Self::default() }
    }
}

/// Where heads are inside token rows: element (b, t, h, i) is at
/// `offset + (b·time + t)·stride + h·dim + i`, with the row's own count of tokens as time.
#[derive(Clone, Copy, Debug)]
pub struct HeadLayout {
    /// The first element of token 0.
    pub offset: usize,
    /// Elements from a token to the next.
    pub stride: usize,
}

/// Sizes of attention.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSizes {
    /// Rows.
    pub batch: usize,
    /// Queries of a row.
    pub queries: usize,
    /// Keys of a row.
    pub keys: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Elements of a head.
    pub dim: usize,
    /// Factor on q·kᵀ.
    pub scale: f32,
}

impl AttentionSizes {
    /// Heads of queries that share a head of keys.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// softmax(scale·q·kᵀ)·v for each head.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// Queries, keys and values; the same tensor thrice if they are packed.
    pub qkv: [&'a Tensor; 3],
    /// Where heads are in each.
    pub layouts: [HeadLayout; 3],
    /// The sizes.
    pub sizes: AttentionSizes,
    /// Which keys a query sees.
    pub mask: &'a Mask,
}

/// What the backward pass of attention reads beside its inputs.
#[derive(Clone, Copy)]
pub struct AttentionSaved<'a> {
    /// The output.
    pub out: &'a Tensor,
    /// Log-sum-exp of the scores [batch, heads, queries].
    pub lse: &'a Tensor,
    /// The output's gradient.
    pub grad: &'a Tensor,
}

/// Attention of new queries over a cache of keys and values.
#[derive(Clone, Copy)]
pub struct CachedAttention<'a> {
    /// Queries [batch, time, heads, dim].
    pub q: &'a Tensor,
    /// Keys [batch, capacity, kv_heads, dim], of any format.
    pub k: &'a Tensor,
    /// Values, like the keys.
    pub v: &'a Tensor,
    /// The place of each row's first query.
    pub starts: &'a Ids,
    /// The sizes.
    pub sizes: AttentionSizes,
    /// Places that a query sees at most, the last ones.
    pub window: Option<usize>,
}

/// Which keys a query may see in attention with relative positions. Every query sees the memory, except with
/// `same_length`.
#[derive(Clone, Debug, Default)]
pub struct RelativeMask {
    /// Only keys at or before the query.
    pub causal: bool,
    /// With `causal`: as many keys for each query. The rule is the reference's: key j of memory and row
    /// together is hidden from place i if j < i and j < time.
    pub same_length: bool,
    /// A query always sees its own place: the content stream.
    pub own: bool,
    /// Keys marked 1, [batch, time]: padding is 0.
    pub keys: Option<Ids>,
    /// Above 0 where place i must not see key j, [batch, time, time].
    pub permutation: Option<Tensor>,
    /// The place of each query in its row, [batch, queries], -1 for a query without: it gives zeros.
    /// Without, queries are the places 0, 1, 2, ….
    pub places: Option<Ids>,
    /// Types of the row's tokens, [batch, time]; the memory's are 0.
    pub types: Option<Ids>,
}

/// Sizes of attention with relative positions.
#[derive(Clone, Copy, Debug)]
pub struct RelativeSizes {
    /// Rows.
    pub batch: usize,
    /// Queries of a row.
    pub queries: usize,
    /// Tokens of a row, without memory.
    pub time: usize,
    /// Keys of earlier segments.
    pub memory: usize,
    /// Heads.
    pub heads: usize,
    /// Elements of a head.
    pub dim: usize,
    /// Rows of the table of distances.
    pub distances: usize,
    /// Factor on the scores.
    pub scale: f32,
}

impl RelativeSizes {
    /// Keys of a row, with memory.
    pub fn keys(&self) -> usize {
        self.memory + self.time
    }

    /// Elements of a token.
    pub fn stride(&self) -> usize {
        self.heads * self.dim
    }
}

/// Attention with relative positions and segments.
#[derive(Clone, Copy)]
pub struct RelativeAttention<'a> {
    /// Queries, keys, values, table of distances, content bias, place bias; with segments also their bias and
    /// embedding. Shapes as in [`ops::Relative`](crate::ops::Relative).
    pub inputs: &'a [Tensor],
    /// The sizes.
    pub sizes: RelativeSizes,
    /// Which keys a query sees.
    pub mask: &'a RelativeMask,
}

/// Logits h·Wᵀ + b of a vocabulary, and the target of each row.
#[derive(Clone, Copy)]
pub struct Projection<'a> {
    /// h [rows, width].
    pub h: &'a Tensor,
    /// W [vocabulary, width].
    pub w: &'a Tensor,
    /// W packed for products, if it is.
    pub packed: Option<&'a PackedWeights>,
    /// b [vocabulary].
    pub bias: Option<&'a Tensor>,
    /// [rows].
    pub targets: &'a Ids,
}

impl Projection<'_> {
    /// Rows, vocabulary and width.
    pub fn sizes(&self) -> [usize; 3] {
        let (rows, width) = self.h.rows();
        [rows, self.w.shape()[0], width]
    }
}

/// What the cross-entropy of a [`Projection`] writes.
pub struct CrossEntropy<'a> {
    /// One number.
    pub loss: &'a mut Tensor,
    /// log p(targets[i]) [rows].
    pub log_probs: &'a mut Tensor,
    /// The loss's gradients of h, W and b that are wanted; that of b is zeros beforehand.
    pub gradients: [Option<&'a mut Tensor>; 3],
}

/// What the backward pass of a [`Projection`]'s log-probabilities reads.
#[derive(Clone, Copy)]
pub struct LogProbSaved<'a> {
    /// Factor on the logits.
    pub scale: f32,
    /// Log-sum-exp of each row.
    pub lse: &'a Tensor,
    /// The gradient of each row's log-probability.
    pub grad: &'a Tensor,
}

/// Settings of one AdamW update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f32,
    /// Decay of the mean.
    pub beta1: f32,
    /// Decay of the mean square.
    pub beta2: f32,
    /// Added to the root of the mean square.
    pub epsilon: f32,
    /// Decoupled decay.
    pub weight_decay: f32,
    /// Factor on the gradient, from clipping.
    pub grad_scale: f32,
}
