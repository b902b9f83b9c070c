//! The ops: each in one file with its derivative's source. Inputs and outputs are [`Var`](crate::Var)s; the
//! gradient of an op is checked against finite differences of an f64 reference in tests/gradients.
//!
//! | op | output |
//! |---|---|
//! | [`linear`] | x·W + b, then an activation |
//! | [`matmul`] | a product of two matrices, without gradient |
//! | [`feed_forward`] | two linear maps with an activation between |
//! | [`embedding`] | rows of a table; also a gather of rows; [`take_rows`] without gradient |
//! | [`spread_rows`] | rows at given places, zeros elsewhere |
//! | [`layer_norm`], [`rms_norm`], [`add_layer_norm`], [`add_rms_norm`] | normalised rows, the latter two of a sum |
//! | [`rotary`] | rotary position embedding |
//! | [`attention`] | tiled attention, also over another sequence; [`attention_cached`] for generation |
//! | [`relative_attention`] | tiled attention with relative positions and segments |
//! | [`cast`] | the same values in another format |
//! | [`concat`] | rows behind rows |
//! | [`swiglu`], [`activate`] | activations |
//! | [`dropout`] | dropout by counter |
//! | [`linear_cross_entropy`], [`linear_log_prob`] | losses over a vocabulary without whole logits |
//! | [`draw_rows`] | a token drawn from each row of logits |
//! | [`add`] … [`clamp`], [`sum`], [`mean`] | what losses are made of |

mod activation;
mod attention;
mod cast;
mod concat;
mod cross_entropy;
mod dropout;
mod elementwise;
mod embedding;
mod feed_forward;
mod linear;
mod matmul;
mod norm;
mod optim;
mod relative;
mod rotary;

pub use crate::backend::{AdamW, Mask, RelativeMask, Weights, Window};
pub use activation::Activation;
pub use attention::{Qkv, attention, attention_cached, cache_write};
pub use cast::{cast, convert};
pub use concat::{append_rows, columns, concat, places};
pub use cross_entropy::{
    LogProb, draw_rows, linear_bias_cross_entropy, linear_cross_entropy, linear_log_prob,
    log_softmax,
};
pub use dropout::dropout;
pub use elementwise::{
    activate, add, add_scalar, clamp, div, exp, log, log_sigmoid, maximum, mean, minimum, mul, neg,
    reshape, scale, sigmoid, square, sub, sum, swiglu, tanh,
};
pub use embedding::{embedding, embedding_with_padding, spread_rows, take_rows};
pub use feed_forward::{Affine, feed_forward};
pub use linear::linear;
pub use matmul::matmul;
pub use norm::{add_layer_norm, add_rms_norm, layer_norm, rms_norm};
pub use optim::{
    adamw, all_finite, nesterov, newton_schulz, scale_in_place, sum_squares, weighted_sum_in_place,
};
pub use relative::{Relative, relative_attention};
pub use rotary::{Rotary, rotary};
