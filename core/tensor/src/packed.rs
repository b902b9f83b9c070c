//! Weights packed for products, by the first product that they are in.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

/// A parameter's weights in another layout, whichever its backend wants; empty until a product packs them.
#[derive(Clone)]
pub struct PackedWeights {
    int8: bool,
    packed: Arc<OnceLock<Box<dyn Any + Send + Sync>>>,
}

impl fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { int8, .. } = self;
        write!(f, "PackedWeights(int8: {int8}, filled: {})", self.is_filled())
    }
}

impl PackedWeights {
    /// Empty ones.
    pub(crate) fn new(int8: bool) -> Self {
        Self { int8, packed: Arc::default() }
    }

    /// Whether they are to be rounded to int8.
    pub fn is_int8(&self) -> bool {
        self.int8
    }

    /// Whether a product has packed them.
    pub fn is_filled(&self) -> bool {
        self.packed.get().is_some()
    }

    /// The weights, packed by `pack` if that was not done before.
    ///
    /// # Panics
    /// If a backend packed them in another type.
    pub fn get_or_pack<T: Any + Send + Sync>(&self, pack: impl FnOnce() -> T) -> &T {
        let packed = self.packed.get_or_init(|| Box::new(pack()));
        packed.downcast_ref().expect("weights packed by the same backend")
    }
}
