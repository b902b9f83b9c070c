//! Dense arrays: tensors of numbers and integer ids. Contiguous, row-major, shared by reference count.

use std::{convert::Infallible, fmt, ops::Deref, sync::Arc};

use bytemuck::Pod;

use crate::{
    device::Device,
    dtype::{Bf16, DType, Element},
    memory::{Memory, allocator},
    pool::Planned,
};

/// Sizes of up to six dimensions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    sizes: [usize; 6],
    rank: u8,
}

impl Shape {
    /// The number of elements.
    pub fn count(&self) -> usize {
        self.iter().product()
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.sizes[..usize::from(self.rank)]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl From<&[usize]> for Shape {
    /// # Panics
    /// With more than six dimensions.
    fn from(sizes: &[usize]) -> Self {
        assert!(sizes.len() <= 6, "shape {sizes:?}: at most 6 dimensions");
        let mut shape = Self { sizes: [1; 6], rank: sizes.len() as u8 };
        shape.sizes[..sizes.len()].copy_from_slice(sizes);
        shape
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(sizes: [usize; N]) -> Self {
        Self::from(&sizes[..])
    }
}

struct Storage {
    memory: Memory,
    device: Device,
    dtype: DType,
}

/// A dense array. Cloning shares the memory; writing copies if it is shared.
///
/// Values are f32 wherever the dtype is not said.
#[derive(Clone)]
pub struct Tensor {
    storage: Arc<Storage>,
    shape: Shape,
}

impl Tensor {
    fn new(device: Device, shape: Shape, dtype: DType, zeroed: bool) -> Self {
        let allocator = allocator(device);
        let mut memory = allocator.allocate(shape.count() * dtype.size());
        if zeroed {
            allocator.zero(&mut memory);
        }
        Self { storage: Arc::new(Storage { memory, device, dtype }), shape }
    }

    /// Arbitrary content, for ops that write every element.
    pub(crate) fn uninit(device: Device, shape: impl Into<Shape>) -> Self {
        Self::new(device, shape.into(), DType::F32, false)
    }

    /// [`uninit`](Self::uninit) of another format.
    pub(crate) fn uninit_of(dtype: DType, device: Device, shape: impl Into<Shape>) -> Self {
        Self::new(device, shape.into(), dtype, false)
    }

    /// Zeros.
    pub fn zeros(device: Device, shape: impl Into<Shape>) -> Self {
        Self::zeros_of(DType::F32, device, shape)
    }

    /// Zeros of another format.
    pub fn zeros_of(dtype: DType, device: Device, shape: impl Into<Shape>) -> Self {
        Self::new(device, shape.into(), dtype, true)
    }

    /// A tensor of this shape and dtype on [`Device::Plan`]. Its memory is there already, so it is not
    /// counted.
    #[must_use]
    pub fn planned(&self) -> Self {
        let (memory, device) = (Memory::other(Planned::present()), Device::Plan);
        let storage = Storage { memory, device, dtype: self.dtype() };
        Self { storage: Arc::new(storage), shape: self.shape }
    }

    /// The same device, shape and dtype without values: their memory can be freed. Reading it panics.
    #[must_use]
    pub(crate) fn released(&self) -> Self {
        let (device, dtype) = (self.device(), self.dtype());
        let storage = Storage { memory: Memory::released(), device, dtype };
        Self { storage: Arc::new(storage), shape: self.shape }
    }

    /// Whether it has values: not on [`Device::Plan`], nor where they were freed
    /// ([`Params::release_quantised`](crate::Params::release_quantised)).
    pub fn has_values(&self) -> bool {
        allocator(self.device()).has_values() && !self.memory().is_released()
    }

    /// One value everywhere.
    pub fn full(device: Device, shape: impl Into<Shape>, value: f32) -> Self {
        let Ok(tensor) = Self::filled::<Infallible>(device, shape, |values| {
            values.fill(value);
            Ok(())
        });
        tensor
    }

    /// Copies host values, row-major.
    ///
    /// # Panics
    /// If the count does not fit the shape.
    pub fn from_slice(device: Device, values: &[f32], shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(
            values.len(),
            shape.count(),
            "from_slice: {} values for shape {shape:?}",
            values.len()
        );
        Self::uninit(device, shape).with_uploaded(bytemuck::cast_slice(values))
    }

    /// With these bytes as content.
    fn with_uploaded(mut self, bytes: &[u8]) -> Self {
        let to = allocator(self.device());
        to.upload(bytes, &mut self.unique().memory);
        self
    }

    /// A tensor that `fill` writes, row-major, over arbitrary values; on [`Device::Plan`] it is not called.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn filled<E>(
        device: Device,
        shape: impl Into<Shape>,
        fill: impl FnOnce(&mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut tensor = Self::uninit(device, shape);
        if !allocator(device).has_values() {
            return Ok(tensor);
        }
        if let Some(bytes) = tensor.unique().memory.host_mut() {
            fill(bytemuck::cast_slice_mut(bytes))?;
            return Ok(tensor);
        }
        let mut values = vec![0.0; tensor.len()];
        fill(&mut values)?;
        Ok(tensor.with_uploaded(bytemuck::cast_slice(&values)))
    }

    /// A single value, shape [].
    pub fn scalar(device: Device, value: f32) -> Self {
        Self::from_slice(device, &[value], [])
    }

    /// Copies the values to the host as f32; zeros of a plan.
    pub fn to_vec(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.len()];
        match self.dtype() {
            DType::F32 => self.download(&mut values),
            DType::Bf16 => {
                let mut narrow = vec![Bf16::default(); self.len()];
                self.download(&mut narrow);
                values.iter_mut().zip(narrow).for_each(|(to, x)| *to = x.to_f32());
            }
        }
        values
    }

    fn download<T: Pod>(&self, to: &mut [T]) {
        allocator(self.device()).download(&self.storage.memory, bytemuck::cast_slice_mut(to));
    }

    /// The same values on a device; shares the memory if they are there.
    #[must_use]
    pub fn to_device(&self, device: Device) -> Self {
        if self.device() == device {
            return self.clone();
        }
        let to = Self::uninit_of(self.dtype(), device, self.shape);
        match self.storage.memory.host() {
            Some(bytes) => to.with_uploaded(bytes),
            None => {
                let mut bytes = vec![0u8; self.len() * self.dtype().size()];
                self.download(&mut bytes);
                to.with_uploaded(&bytes)
            }
        }
    }

    /// The values of a tensor in host memory.
    ///
    /// # Panics
    /// If its memory is of another kind (see [`to_device`](Self::to_device)), or it is not of f32.
    pub fn host(&self) -> &[f32] {
        self.cpu()
    }

    /// Hands the values to `f` on the host without a copy where that is possible.
    pub fn with_host<R>(&self, f: impl FnOnce(&[f32]) -> R) -> R {
        match self.storage.memory.host() {
            Some(_) if self.dtype() == DType::F32 => f(self.cpu()),
            _ => f(&self.to_vec()),
        }
    }

    /// The value of a one-element tensor.
    ///
    /// # Panics
    /// If it has another number of elements.
    pub fn item(&self) -> f32 {
        assert_eq!(self.len(), 1, "item() of a tensor of shape {:?}", self.shape);
        self.with_host(|values| values[0])
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.count()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The format of its elements.
    pub fn dtype(&self) -> DType {
        self.storage.dtype
    }

    /// Where it lives.
    pub fn device(&self) -> Device {
        self.storage.device
    }

    /// Its memory, for the kernels of its device.
    pub fn memory(&self) -> &Memory {
        &self.storage.memory
    }

    /// Its memory, to be written to; a copy of it if it was shared.
    pub fn memory_mut(&mut self) -> &mut Memory {
        self.own();
        &mut self.unique().memory
    }

    /// The same values under another shape; shares the memory.
    ///
    /// # Panics
    /// If the count differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(self.len(), shape.count(), "reshape of {:?} to {shape:?}", self.shape);
        Self { storage: self.storage.clone(), shape }
    }

    /// Rows and row length, the last dimension being the row.
    pub fn rows(&self) -> (usize, usize) {
        let width = self.shape.last().copied().unwrap_or(1);
        // Not len / width: rows may be empty and still be counted.
        (self.shape.iter().rev().skip(1).product(), width)
    }

    pub(crate) fn is_unique(&self) -> bool {
        Arc::strong_count(&self.storage) == 1
    }

    /// The storage, which must not be shared.
    fn unique(&mut self) -> &mut Storage {
        Arc::get_mut(&mut self.storage).expect("a storage that is not shared")
    }

    /// Makes a copy if the memory is shared: what comes before any writing.
    pub(crate) fn own(&mut self) {
        if Arc::get_mut(&mut self.storage).is_some() {
            return;
        }
        let mut copy = Self::uninit_of(self.dtype(), self.device(), self.shape);
        allocator(self.device()).copy(&self.storage.memory, &mut copy.unique().memory);
        *self = copy;
    }

    /// The values, in host memory.
    pub(crate) fn cpu(&self) -> &[f32] {
        self.elements()
    }

    /// The values, in host memory, to be written.
    pub(crate) fn cpu_mut(&mut self) -> &mut [f32] {
        self.elements_mut()
    }

    /// The elements, in host memory.
    ///
    /// # Panics
    /// If they are of another format, or elsewhere.
    pub(crate) fn elements<T: Element>(&self) -> &[T] {
        self.check_dtype::<T>();
        bytemuck::cast_slice(self.memory().host().unwrap_or_else(|| self.not_on_host()))
    }

    /// As [`elements`](Self::elements), to be written.
    pub(crate) fn elements_mut<T: Element>(&mut self) -> &mut [T] {
        self.check_dtype::<T>();
        if self.memory().host().is_none() {
            self.not_on_host();
        }
        bytemuck::cast_slice_mut(self.memory_mut().host_mut().unwrap_or_default())
    }

    fn check_dtype<T: Element>(&self) {
        let found = self.dtype();
        assert_eq!(found, T::DTYPE, "a tensor {:?} of {found:?}: cast it first", self.shape);
    }

    fn not_on_host(&self) -> ! {
        panic!("a tensor {:?} on {:?} has no values in host memory", self.shape, self.device())
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.shape)?;
        if self.dtype() != DType::F32 {
            write!(f, "{:?}", self.dtype())?;
        }
        if !self.has_values() {
            return Ok(());
        }
        self.with_host(|values| write!(f, "{:?}", &values[..values.len().min(8)]))?;
        if self.len() > 8 { write!(f, "…") } else { Ok(()) }
    }
}

/// Token ids, positions, labels, masks: a dense array of i32.
#[derive(Clone, Debug)]
pub struct Ids {
    values: Arc<[i32]>,
    shape: Shape,
    device: Device,
}

impl Ids {
    /// # Panics
    /// If the count does not fit the shape.
    pub fn new(device: Device, values: Vec<i32>, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(values.len(), shape.count(), "ids: {} values for shape {shape:?}", values.len());
        Self { values: values.into(), shape, device }
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Where it lives.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The values on the host; ids keep a host copy on every device.
    pub fn host(&self) -> &[i32] {
        &self.values
    }

    /// The same values under another shape.
    ///
    /// # Panics
    /// If the count differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), ..self.clone() }.checked()
    }

    fn checked(self) -> Self {
        assert_eq!(self.values.len(), self.shape.count(), "ids do not fit shape {:?}", self.shape);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::plan;

    #[test]
    fn a_plan_counts_bytes_of_the_format() {
        let held = |dtype| plan(|| drop(Tensor::zeros_of(dtype, Device::Plan, [1 << 20]))).1.held;
        assert_eq!([DType::F32, DType::Bf16].map(held), [4 << 20, 2 << 20]);
    }

    #[test]
    #[should_panic(expected = "a tensor [2] on Cpu has no values in host memory")]
    fn freed_values_are_not_read() {
        let tensor = Tensor::full(Device::Cpu, [2], 1.0);
        let freed = tensor.released();
        assert!(tensor.has_values() && !freed.has_values());
        assert_eq!((freed.device(), freed.shape()), (Device::Cpu, tensor.shape()));
        freed.host();
    }
}
