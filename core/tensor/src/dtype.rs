//! Formats of a tensor's elements.

use bytemuck::{Pod, Zeroable};

/// The format of a tensor's elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 binary32, 4 bytes: what every op computes in.
    #[default]
    F32,
    /// The upper half of an f32, 2 bytes: the same range with 8 bits of precision.
    Bf16,
}

impl DType {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::Bf16 => size_of::<Bf16>(),
        }
    }
}

/// A number in bf16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(u16);

// SAFETY: a u16 under another name; every bit pattern is a number or a NaN, and all zeros is 0.
#[allow(unsafe_code)]
unsafe impl Zeroable for Bf16 {}
// SAFETY: as above, and transparent.
#[allow(unsafe_code)]
unsafe impl Pod for Bf16 {}

/// A type that tensors store.
pub trait Element: Pod + Send + Sync {
    /// Its format.
    const DTYPE: DType;
    /// The value as f32, exactly.
    fn to_f32(self) -> f32;
    /// The nearest number of this format, ties to even. A NaN stays a NaN.
    fn from_f32(x: f32) -> Self;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }
}

impl Element for Bf16 {
    const DTYPE: DType = DType::Bf16;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        Self(if x.is_nan() { 0x7fc0 } else { rounded as u16 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_to_the_nearest_and_ties_to_even() {
        let round = |x: f32| Bf16::from_f32(x).to_f32();
        for (x, want) in [
            (1.0, 1.0),
            (-0.0, -0.0),
            // The step between bf16 numbers is 2^-7 from 1 on.
            (1.0 + 0.003, 1.0),
            (1.0 + 0.005, 1.0 + 1.0 / 128.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.0 + 2.0 / 128.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            assert_eq!(round(x).to_bits(), f32::to_bits(want), "{x}");
        }
        assert!(round(f32::NAN).is_nan());
        // A NaN with an upper half that alone would be infinity.
        assert!(round(f32::from_bits(0x7f80_0001)).is_nan());
    }
}
