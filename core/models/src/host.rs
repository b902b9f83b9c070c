//! Tensors on their way to a file.

use athanor_store::{ArrayDataRef, ArrayRef};
use athanor_tensor::{DType, Device, Tensor, ops};

/// Named tensors in host memory.
pub struct HostTensors(Vec<(String, Tensor)>);

impl HostTensors {
    /// Takes tensors, in their order. Those that live elsewhere are copied, those of another format than f32 are
    /// converted to it.
    pub fn new<'t>(tensors: impl IntoIterator<Item = (String, &'t Tensor)>) -> Self {
        let to_host = |t: &Tensor| ops::convert(&t.to_device(Device::Cpu), DType::F32);
        Self(tensors.into_iter().map(|(name, t)| (name, to_host(t))).collect())
    }

    /// Views for [`athanor_store::save_arrays`].
    pub fn arrays(&self) -> Vec<ArrayRef<'_>> {
        self.0
            .iter()
            .map(|(name, t)| ArrayRef { name, shape: t.shape(), data: ArrayDataRef::F32(t.host()) })
            .collect()
    }
}
