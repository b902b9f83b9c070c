//! Tensors on their way to a file.

use athanor_store::{ArrayDataRef, ArrayRef};
use athanor_tensor::{Device, Tensor};

/// Named tensors in host memory.
pub struct HostTensors(Vec<(String, Tensor)>);

impl HostTensors {
    /// Takes tensors, in their order; those that live elsewhere are copied.
    pub fn new<'t>(tensors: impl IntoIterator<Item = (String, &'t Tensor)>) -> Self {
        Self(tensors.into_iter().map(|(name, t)| (name, t.to_device(Device::Cpu))).collect())
    }

    /// Views for [`athanor_store::save_arrays`].
    pub fn arrays(&self) -> Vec<ArrayRef<'_>> {
        self.0
            .iter()
            .map(|(name, t)| ArrayRef { name, shape: t.shape(), data: ArrayDataRef::F32(t.host()) })
            .collect()
    }
}
