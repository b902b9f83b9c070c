//! Conversion between the formats of elements.

use super::{parallel::chunks, simd::simd};
use crate::dtype::{Bf16, Element};

/// Elements of a task.
const PIECE: usize = 16 * 1024;

simd! {
    fn widen_bf16(from: &[Bf16], to: &mut [f32]) {
        for (to, &x) in to.iter_mut().zip(from) {
            *to = x.to_f32();
        }
    }

    fn narrow_bf16(from: &[f32], to: &mut [Bf16]) {
        for (to, &x) in to.iter_mut().zip(from) {
            *to = Element::from_f32(x);
        }
    }
}

/// A format that converts from and to f32, by the best instructions.
pub(crate) trait Converted: Element {
    /// To f32, exactly.
    fn widen(from: &[Self], to: &mut [f32]);
    /// To the nearest of this format.
    fn narrow(from: &[f32], to: &mut [Self]);
}

impl Converted for f32 {
    fn widen(from: &[Self], to: &mut [f32]) {
        to.copy_from_slice(from);
    }
    fn narrow(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
}

impl Converted for Bf16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        widen_bf16(from, to);
    }
    fn narrow(from: &[f32], to: &mut [Self]) {
        narrow_bf16(from, to);
    }
}

/// to = from, in f32.
pub(crate) fn widen<T: Converted>(from: &[T], to: &mut [f32]) {
    chunks(to, PIECE, |i, to| T::widen(&from[i * PIECE..][..to.len()], to));
}

/// to = from, rounded to the nearest.
pub(crate) fn narrow<T: Converted>(from: &[f32], to: &mut [T]) {
    chunks(to, PIECE, |i, to| T::narrow(&from[i * PIECE..][..to.len()], to));
}
