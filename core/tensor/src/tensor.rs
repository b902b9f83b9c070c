//! Dense arrays: f32 tensors and integer ids. Contiguous, row-major, shared by reference count.

use std::{fmt, ops::Deref, sync::Arc};

use crate::{
    device::Device,
    pool::{Buf, Planned},
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

enum Storage {
    Cpu(Buf),
    /// A size without values.
    Plan {
        _account: Planned,
    },
}

/// A dense f32 array. Cloning shares the memory; writing copies if it is shared.
#[derive(Clone)]
pub struct Tensor {
    storage: Arc<Storage>,
    shape: Shape,
}

impl Tensor {
    fn from_buf(buf: Buf, shape: Shape) -> Self {
        debug_assert_eq!(buf.len(), shape.count());
        Self { storage: Arc::new(Storage::Cpu(buf)), shape }
    }

    /// Arbitrary content, for ops that write every element.
    pub(crate) fn uninit(device: Device, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        match device {
            Device::Cpu => Self::from_buf(Buf::uninit(shape.count()), shape),
            Device::Plan => Self::of_plan(Planned::counted(shape.count()), shape),
        }
    }

    /// Zeros.
    pub fn zeros(device: Device, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        match device {
            Device::Cpu => Self::from_buf(Buf::zeroed(shape.count()), shape),
            Device::Plan => Self::of_plan(Planned::counted(shape.count()), shape),
        }
    }

    fn of_plan(account: Planned, shape: Shape) -> Self {
        Self { storage: Arc::new(Storage::Plan { _account: account }), shape }
    }

    /// A tensor of this shape on [`Device::Plan`] whose memory is there already, so that it is not counted.
    #[must_use]
    pub fn planned(&self) -> Self {
        Self::of_plan(Planned::present(), self.shape)
    }

    /// One value everywhere.
    pub fn full(device: Device, shape: impl Into<Shape>, value: f32) -> Self {
        let mut tensor = Self::uninit(device, shape);
        match device {
            Device::Cpu => tensor.cpu_mut().fill(value),
            Device::Plan => {}
        }
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
        let mut tensor = Self::uninit(device, shape);
        match device {
            Device::Cpu => tensor.cpu_mut().copy_from_slice(values),
            Device::Plan => {}
        }
        tensor
    }

    /// A tensor whose values `fill` writes, row-major, over arbitrary ones; on [`Device::Plan`] it is not called.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn filled<E>(
        device: Device,
        shape: impl Into<Shape>,
        fill: impl FnOnce(&mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut tensor = Self::uninit(device, shape);
        if device == Device::Cpu {
            fill(tensor.cpu_mut())?;
        }
        Ok(tensor)
    }

    /// A single value, shape [].
    pub fn scalar(device: Device, value: f32) -> Self {
        Self::from_slice(device, &[value], [])
    }

    /// Copies the values to the host; zeros of a plan.
    pub fn to_vec(&self) -> Vec<f32> {
        match &*self.storage {
            Storage::Cpu(buf) => buf.to_vec(),
            Storage::Plan { .. } => vec![0.0; self.len()],
        }
    }

    /// The same values on a device; shares the memory if they are there.
    #[must_use]
    pub fn to_device(&self, device: Device) -> Self {
        match self.device() == device {
            true => self.clone(),
            false => self.with_host(|values| Self::from_slice(device, values, self.shape)),
        }
    }

    /// The values of a tensor that lives on the host.
    ///
    /// # Panics
    /// If it lives elsewhere: see [`to_device`](Self::to_device).
    pub fn host(&self) -> &[f32] {
        self.cpu()
    }

    /// Hands the values to `f` on the host without a copy where that is possible.
    pub fn with_host<R>(&self, f: impl FnOnce(&[f32]) -> R) -> R {
        match &*self.storage {
            Storage::Cpu(buf) => f(buf),
            Storage::Plan { .. } => f(&self.to_vec()),
        }
    }

    /// The value of a one-element tensor.
    ///
    /// # Panics
    /// If it has another number of elements.
    pub fn item(&self) -> f32 {
        assert_eq!(self.len(), 1, "item() of a tensor of shape {:?}", self.shape);
        match &*self.storage {
            Storage::Cpu(buf) => buf[0],
            Storage::Plan { .. } => 0.0,
        }
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

    /// Where it lives.
    pub fn device(&self) -> Device {
        match *self.storage {
            Storage::Cpu(_) => Device::Cpu,
            Storage::Plan { .. } => Device::Plan,
        }
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
    pub(crate) fn rows(&self) -> (usize, usize) {
        let width = self.shape.last().copied().unwrap_or(1);
        // Not len / width: rows may be empty and still be counted.
        (self.shape.iter().rev().skip(1).product(), width)
    }

    pub(crate) fn is_unique(&self) -> bool {
        Arc::strong_count(&self.storage) == 1
    }

    pub(crate) fn cpu(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(buf) => buf,
            Storage::Plan { .. } => unreachable!("a plan has no values"),
        }
    }

    /// Makes a copy if the memory is shared: what comes before any writing.
    pub(crate) fn own(&mut self) {
        if Arc::get_mut(&mut self.storage).is_some() {
            return;
        }
        let mut copy = Self::uninit(self.device(), self.shape);
        if let (Some(Storage::Cpu(to)), Storage::Cpu(from)) =
            (Arc::get_mut(&mut copy.storage), &*self.storage)
        {
            to.copy_from_slice(from);
        }
        *self = copy;
    }

    pub(crate) fn cpu_mut(&mut self) -> &mut [f32] {
        self.own();
        match Arc::get_mut(&mut self.storage) {
            Some(Storage::Cpu(buf)) => buf,
            Some(Storage::Plan { .. }) => unreachable!("a plan has no values"),
            None => unreachable!("the storage was made unique above"),
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = match &*self.storage {
            Storage::Cpu(buf) => &buf[..self.len().min(8)],
            Storage::Plan { .. } => return write!(f, "Tensor{:?}", self.shape),
        };
        write!(f, "Tensor{:?}{head:?}", self.shape)?;
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
