//! Weights laid out anew for products, filled in by the first product that they are in.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    cpu::{int8, packed::Panels},
    ops::Weights,
    tensor::Tensor,
};

/// Rows up to which weights in panels are the faster way: see docs/log.md.
const MOST_PACKED: usize = 1024;

/// A matrix in another layout.
pub(crate) enum Laid {
    /// The same numbers.
    Panels(Panels),
    /// Rounded.
    Int8(int8::Weights),
}

impl Laid {
    /// out[m, outputs] = x[m, inner] · W.
    ///
    /// # Panics
    /// If a slice has another size.
    pub fn product(&self, x: &[f32], m: usize, out: &mut [f32]) {
        match self {
            Self::Panels(panels) => panels.product(x, m, out, true),
            Self::Int8(weights) => weights.product(x, m, out, true),
        }
    }
}

/// Where a parameter stands once more.
#[derive(Clone)]
pub(crate) struct PackedSlot {
    int8: bool,
    laid: Arc<OnceLock<Laid>>,
}

impl fmt::Debug for PackedSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { int8, .. } = self;
        write!(f, "PackedSlot(int8: {int8}, filled: {})", self.is_filled())
    }
}

impl PackedSlot {
    /// An empty one.
    pub fn new(int8: bool) -> Self {
        Self { int8, laid: Arc::default() }
    }

    /// Whether a product has filled it.
    pub fn is_filled(&self) -> bool {
        self.laid.get().is_some()
    }

    /// The weights `w` for a product with `rows` rows; none where they are to be taken as they lie.
    pub fn laid(&self, w: &Tensor, layout: Weights, rows: usize) -> Option<&Laid> {
        if !self.int8 && (rows > MOST_PACKED || !Panels::available()) {
            return None;
        }
        Some(self.laid.get_or_init(|| {
            let (inner, out) = layout.sizes(w.shape());
            let w = layout.view(w.cpu(), w.shape()[1]);
            match self.int8 {
                true => Laid::Int8(int8::Weights::new(w, inner, out)),
                false => Laid::Panels(Panels::new(w, inner, out)),
            }
        }))
    }
}
