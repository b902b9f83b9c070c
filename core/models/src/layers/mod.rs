//! The parts that families and heads are made of. A family keeps names, the meaning of config.json's keys, and the
//! order of its layers.

mod attention;
mod embedding;
mod linear;
mod mlp;
mod norm;

pub use linear::Linear;

pub(crate) use attention::Attention;
pub(crate) use embedding::Embedding;
pub(crate) use linear::LinearSpec;
pub(crate) use mlp::{GatedMlp, Mlp};
pub(crate) use norm::Norm;
