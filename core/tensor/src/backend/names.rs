//! Devices by their names, as recipes and options give them.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    sync::PoisonError,
};

use super::{REGISTERED, of};
use crate::device::Device;

/// A name that no device of this program has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDevice {
    name: String,
}

impl Display for UnknownDevice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "no device {:?}; this build has {}", self.name, Device::names().join(", "))
    }
}

impl Error for UnknownDevice {}

impl Device {
    /// The device of this name; see [`Backend::name`](super::Backend::name).
    ///
    /// # Errors
    /// If there is none.
    pub fn by_name(name: &str) -> Result<Self, UnknownDevice> {
        let found = named().into_iter().find(|(known, _)| *known == name);
        found.map(|(_, device)| device).ok_or_else(|| UnknownDevice { name: name.to_owned() })
    }

    /// The names of all devices, the processor's first.
    pub fn names() -> Vec<&'static str> {
        named().into_iter().map(|(name, _)| name).collect()
    }
}

fn named() -> Vec<(&'static str, Device)> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner).len();
    let others = (0..=u8::MAX).take(registered).map(Device::Registered);
    let all = std::iter::once(Device::Cpu).chain(others);
    all.filter_map(|device| Some((of(device).name()?, device))).collect()
}
