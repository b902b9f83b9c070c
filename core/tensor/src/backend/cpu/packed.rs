//! Products with weights that were packed for it, in panels or in int8.

use super::{feed_forward::view, int8, panels::Panels};
use crate::{backend::Weights, packed::PackedWeights, tensor::Tensor};

/// Rows up to which weights in panels are the faster way: see docs/log.md.
const MOST_ROWS: usize = 1024;

/// A packed matrix.
enum Packed {
    /// The same numbers.
    Panels(Panels),
    /// Rounded.
    Int8(int8::Weights),
}

/// out[rows, out] = x[rows, in] · W. Returns `false` and does nothing where unpacked weights are as fast.
pub(crate) fn product(
    x: &[f32],
    rows: usize,
    w: &Tensor,
    layout: Weights,
    packed: &PackedWeights,
    out: &mut [f32],
) -> bool {
    if !packed.is_int8() && (rows > MOST_ROWS || !Panels::available()) {
        return false;
    }
    let packed = packed.get_or_pack(|| {
        let ((inner, outputs), matrix) = (layout.sizes(w.shape()), view(w, layout));
        match packed.is_int8() {
            true => Packed::Int8(int8::Weights::new(matrix, inner, outputs)),
            false => Packed::Panels(Panels::new(matrix, inner, outputs)),
        }
    });
    match packed {
        Packed::Panels(panels) => panels.product(x, rows, out, true),
        Packed::Int8(weights) => weights.product(x, rows, out, true),
    }
    true
}
