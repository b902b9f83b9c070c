//! Tensors on their way to a file.

use athanor_store::{ArrayDataRef, ArrayRef};
use athanor_tensor::Tensor;

/// Copies of named tensors in host memory.
pub struct HostTensors(Vec<(String, Vec<usize>, Vec<f32>)>);

impl HostTensors {
    /// Copies tensors, in their order.
    pub fn new<'t>(tensors: impl IntoIterator<Item = (String, &'t Tensor)>) -> Self {
        Self(tensors.into_iter().map(|(name, t)| (name, t.shape().to_vec(), t.to_vec())).collect())
    }

    /// Views for [`athanor_store::save_arrays`].
    pub fn arrays(&self) -> Vec<ArrayRef<'_>> {
        self.0
            .iter()
            .map(|(name, shape, data)| ArrayRef { name, shape, data: ArrayDataRef::F32(data) })
            .collect()
    }
}
