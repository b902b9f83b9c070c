//! Memory of tensors: bytes on the host, or a handle that only one device can read.

use std::{
    any::Any,
    sync::{PoisonError, RwLock},
};

use crate::{
    device::Device,
    pool::{Buf, Planned},
};

/// Memory of one tensor.
pub struct Memory(Kind);

enum Kind {
    Host(Buf<u8>),
    Other(Box<dyn Any + Send + Sync>),
    Released,
}

impl Memory {
    /// A handle of another kind than host memory, such as an address on an accelerator. Dropping it frees
    /// what it stands for.
    pub fn other(handle: impl Any + Send + Sync) -> Self {
        Self(Kind::Other(Box::new(handle)))
    }

    /// No memory: the values were freed.
    pub(crate) fn released() -> Self {
        Self(Kind::Released)
    }

    /// Whether values were freed.
    pub(crate) fn is_released(&self) -> bool {
        matches!(self.0, Kind::Released)
    }

    /// The handle, if it is one of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        match &self.0 {
            Kind::Other(handle) => handle.downcast_ref(),
            Kind::Host(_) | Kind::Released => None,
        }
    }

    /// The handle, if it is one of this type, to be changed.
    pub fn get_mut<T: Any>(&mut self) -> Option<&mut T> {
        match &mut self.0 {
            Kind::Other(handle) => handle.downcast_mut(),
            Kind::Host(_) | Kind::Released => None,
        }
    }

    /// The bytes, if they are in host memory.
    pub(crate) fn host(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Host(bytes) => Some(bytes),
            Kind::Other(_) | Kind::Released => None,
        }
    }

    /// The bytes, if they are in host memory, to be changed.
    pub(crate) fn host_mut(&mut self) -> Option<&mut [u8]> {
        match &mut self.0 {
            Kind::Host(bytes) => Some(bytes),
            Kind::Other(_) | Kind::Released => None,
        }
    }
}

/// Allocates memory on one device and copies to and from it. It is called only with memory that it allocated.
pub trait Allocator: Send + Sync {
    /// Memory with arbitrary content.
    fn allocate(&self, bytes: usize) -> Memory;

    /// Whether tensors have values. Without, `upload` and `copy` do nothing and `download` gives zeros.
    fn has_values(&self) -> bool {
        true
    }

    /// Sets all bytes to 0.
    fn zero(&self, memory: &mut Memory);

    /// Copies memory of the same size.
    fn copy(&self, from: &Memory, to: &mut Memory);

    /// Copies from the host, the whole of `to`.
    fn upload(&self, from: &[u8], to: &mut Memory);

    /// Copies to the host, the whole of `from`.
    fn download(&self, from: &Memory, to: &mut [u8]);
}

/// Host memory from the pool: see [`pool_stats`](crate::pool_stats).
pub struct HostAllocator;

/// No memory: sizes are counted for [`plan`](crate::plan).
pub struct PlanAllocator;

fn bytes_of(memory: &Memory) -> &[u8] {
    memory.host().expect("memory of this allocator")
}

fn bytes_of_mut(memory: &mut Memory) -> &mut [u8] {
    memory.host_mut().expect("memory of this allocator")
}

impl Allocator for HostAllocator {
    fn allocate(&self, bytes: usize) -> Memory {
        Memory(Kind::Host(Buf::uninit(bytes)))
    }

    fn zero(&self, memory: &mut Memory) {
        bytes_of_mut(memory).fill(0);
    }

    fn copy(&self, from: &Memory, to: &mut Memory) {
        bytes_of_mut(to).copy_from_slice(bytes_of(from));
    }

    fn upload(&self, from: &[u8], to: &mut Memory) {
        bytes_of_mut(to).copy_from_slice(from);
    }

    fn download(&self, from: &Memory, to: &mut [u8]) {
        to.copy_from_slice(bytes_of(from));
    }
}

impl Allocator for PlanAllocator {
    fn allocate(&self, bytes: usize) -> Memory {
        Memory::other(Planned::counted(bytes))
    }

    fn has_values(&self) -> bool {
        false
    }

    fn zero(&self, _: &mut Memory) {}

    fn copy(&self, _: &Memory, _: &mut Memory) {}

    fn upload(&self, _: &[u8], _: &mut Memory) {}

    fn download(&self, _: &Memory, to: &mut [u8]) {
        to.fill(0);
    }
}

static REGISTERED: RwLock<Vec<&'static dyn Allocator>> = RwLock::new(Vec::new());

/// The device of a new allocator.
///
/// # Panics
/// If there are 256 already.
pub(crate) fn register(allocator: &'static dyn Allocator) -> Device {
    let mut all = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    let number = u8::try_from(all.len()).expect("at most 256 devices");
    all.push(allocator);
    Device::Registered(number)
}

/// The allocator of a device.
pub(crate) fn allocator(device: Device) -> &'static dyn Allocator {
    match device {
        Device::Cpu => &HostAllocator,
        Device::Plan => &PlanAllocator,
        Device::Registered(number) => {
            REGISTERED.read().unwrap_or_else(PoisonError::into_inner)[usize::from(number)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_found_by_its_type_alone() {
        let mut memory = Memory::other(0xd00d_u64);
        *memory.get_mut::<u64>().unwrap() += 1;
        assert_eq!(memory.get::<u64>(), Some(&0xd00e));
        assert!(memory.get::<u32>().is_none() && memory.host().is_none());
        let mut host = HostAllocator.allocate(8);
        HostAllocator.upload(&[7; 8], &mut host);
        assert!(host.get::<u64>().is_none() && host.host() == Some(&[7; 8]));
    }
}
