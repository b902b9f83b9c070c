//! Arrays, automatic differentiation and fused ops. Nothing here knows what a language model is.
//!
//! ```
//! use athanor_tensor::{Device, Grads, Tape, Tensor, ops};
//!
//! let tape = Tape::new();
//! let x = tape.leaf(Tensor::from_slice(Device::Cpu, &[1.0, 2.0, 3.0], [3]));
//! let loss = ops::sum(&ops::mul(&x, &x)); // x·x
//! let mut grads = Grads::new();
//! tape.backward(&loss, &mut grads);
//! assert_eq!(loss.value().item(), 14.0);
//! assert_eq!(grads.take(&x).unwrap().to_vec(), [2.0, 4.0, 6.0]); // 2x
//! ```
//!
//! Shapes that do not fit are bugs of the caller and panic with the op's name and the shapes; what
//! comes from users is checked where it enters (config files, tensors, ids).

pub mod backend;
mod device;
mod dtype;
pub mod host;
mod limits;
pub mod mapped;
pub mod memory;
pub mod ops;
mod packed;
mod params;
mod pool;
mod region;
mod rng;
mod tape;
mod tensor;

pub use backend::cpu::simd::instructions;
pub use device::{Device, set_threads};
pub use dtype::{Bf16, DType, Element};
pub use limits::{Limits, limits};
pub use packed::PackedWeights;
pub use params::{GradSet, Graph, PackedParams, Param, ParamId, Params};
pub use pool::{PoolStats, bound_heap, most_held, plan, planned_stats, pool_stats, release_spare};
pub use rng::{Rng, splitmix64};
pub use tape::{Grads, Tape, Var};
pub use tensor::{Ids, Shape, Tensor};
