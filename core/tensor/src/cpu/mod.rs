//! CPU kernels over slices. Every kernel splits its work in a way that does not depend on the number
//! of threads, and each element is computed by one task in one order: same bytes on any count.

pub(crate) mod attention;
pub(crate) mod blocked;
pub(crate) mod cached;
pub(crate) mod cast;
pub(crate) mod cross_entropy;
pub(crate) mod elementwise;
pub(crate) mod embedding;
pub(crate) mod gemm;
pub(crate) mod int8;
pub(crate) mod mat;
pub(crate) mod math;
pub(crate) mod newton_schulz;
pub(crate) mod norm;
pub(crate) mod optim;
pub(crate) mod packed;
pub(crate) mod parallel;
pub(crate) mod peak;
pub(crate) mod relative;
pub(crate) mod rotary;
pub(crate) mod simd;
pub(crate) mod skinny;
pub(crate) mod team;
pub(crate) mod tile;
