//! Elementary functions that vectorise, and reductions in a fixed order.

use crate::dtype::Element;

/// Lanes of a reduction: sixteen partial sums whatever the processor, so the order is fixed.
const LANES: usize = 16;

/// e^x within 2 ulp; 0 below -87.3, infinite above 88.7; NaN stays NaN.
///
/// Cody and Waite's reduction, then the polynomial of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let low = x < -87.33;
    let high = x > 88.72;
    let x = if low { -87.33 } else { x };
    let x = if high { 88.72 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * (355.0 / 512.0);
    let r = r + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4f32;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 0.166_666_65;
    p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    // Two factors of 2^(n/2): 2^128 itself is not a float.
    let n = shifted.to_bits().wrapping_sub(MAGIC.to_bits()) as i32;
    let half = n >> 1;
    let scale = |k: i32| f32::from_bits((k.wrapping_add(127) as u32) << 23);
    let y = y * scale(half) * scale(n.wrapping_sub(half));
    let y = if high { f32::INFINITY } else { y };
    if low { 0.0 } else { y }
}

/// ln(1 + x) for x in [0, 1], within 2 ulp; NaN stays NaN. Polynomial of Cephes' `logf`.
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    // 1 + x = 2^e · (1 + m), m in [-0.3, 0.42]
    let high = x > std::f32::consts::SQRT_2 - 1.0;
    let m = if high { 0.5 * x - 0.5 } else { x };
    let e = if high { 1.0f32 } else { 0.0 };
    let mut p = 7.037_683_6e-2f32;
    p = p * m - 0.115_146_1;
    p = p * m + 0.116_769_99;
    p = p * m - 0.124_201_41;
    p = p * m + 0.142_493_23;
    p = p * m - 0.166_680_57;
    p = p * m + 0.200_007_14;
    p = p * m - 0.249_999_94;
    p = p * m + 0.333_333_3;
    let z = m * m;
    let y = p * m * z - e * 2.121_944_4e-4 - 0.5 * z;
    m + y + e * (355.0 / 512.0)
}

/// tanh within 2e-7 absolute.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// erf within 1.5e-7 absolute: Abramowitz and Stegun 7.1.26.
#[cfg(test)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    (1.0 - erf_tail(t) * exp(-a * a)).copysign(x)
}

/// erfc(a)·exp(a²) of t = 1 / (1 + 0.3275911·a), a at least 0.
#[inline(always)]
pub(crate) fn erf_tail(t: f32) -> f32 {
    ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_8) * t - 0.284_496_74) * t + 0.254_829_6) * t
}

#[inline(always)]
fn lanes(x: &[f32], mut f: impl FnMut(f32, f32) -> f32, start: f32) -> [f32; LANES] {
    let mut sums = [start; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (s, &v) in sums.iter_mut().zip(chunk) {
            *s = f(*s, v);
        }
    }
    for (s, &v) in sums.iter_mut().zip(rest) {
        *s = f(*s, v);
    }
    sums
}

#[inline(always)]
fn fold(sums: [f32; LANES]) -> f32 {
    let mut s = sums;
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            s[i] += s[i + width];
        }
        width /= 2;
    }
    s[0]
}

/// Sum.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    fold(lanes(x, |s, v| s + v, 0.0))
}

/// Sum of f(x).
#[inline(always)]
pub(crate) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    fold(lanes(x, |s, v| s + f(v), 0.0))
}

/// Sum of squares of `x - shift`.
#[inline(always)]
pub(crate) fn sum_squares(x: &[f32], shift: f32) -> f32 {
    fold(lanes(
        x,
        |s, v| {
            let d = v - shift;
            s + d * d
        },
        0.0,
    ))
}

/// Greatest value; -inf for an empty slice. NaN is passed over.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let m = lanes(x, |s, v| if v > s { v } else { s }, f32::NEG_INFINITY);
    m.into_iter().fold(f32::NEG_INFINITY, |s, v| if v > s { v } else { s })
}

/// exp(x) over the sum of these.
#[inline(always)]
pub(crate) fn softmax(row: &mut [f32]) {
    let top = max(row);
    for x in row.iter_mut() {
        *x = exp(*x - top);
    }
    let inverse = 1.0 / sum(row);
    for x in row {
        *x *= inverse;
    }
}

/// Inner product.
#[inline(always)]
pub(crate) fn dot<T: Element>(x: &[f32], y: &[T]) -> f32 {
    dot_shifted(x, y, 0.0)
}

/// Inner product of `x` and `y - shift`.
#[inline(always)]
pub(crate) fn dot_shifted<T: Element>(x: &[f32], y: &[T], shift: f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let n = x.len().min(y.len());
    let (x, y) = (&x[..n], &y[..n]);
    let (cx, cy) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let (rx, ry) = (cx.remainder(), cy.remainder());
    for (a, b) in cx.zip(cy) {
        for ((s, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *s += a * (b.to_f32() - shift);
        }
    }
    for ((s, &a), &b) in sums.iter_mut().zip(rx).zip(ry) {
        *s += a * (b.to_f32() - shift);
    }
    fold(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_accurate() {
        for i in -9000..9000 {
            let x = i as f32 * 0.01;
            let want = f64::from(x).exp();
            let got = f64::from(exp(x));
            if want.is_finite() && want < f64::from(f32::MAX) && want > 1.2e-38 {
                assert!((got - want).abs() <= 3e-7 * want, "exp({x}) = {got}, not {want}");
            }
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 3e-7, "tanh {x}");
        }
        for i in 0..=10_000 {
            let x = i as f32 * 1e-4;
            let want = f64::from(x).ln_1p();
            assert!((f64::from(ln_1p(x)) - want).abs() <= 2.5e-7 * want, "ln_1p {x}");
        }
        assert!(ln_1p(f32::NAN).is_nan());
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(1e30), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && erf(f32::NAN).is_nan());
        for (x, want) in
            [(0.5f32, 0.520_499_9f32), (-1.0, -0.842_700_8), (2.0, 0.995_322_3), (0.0, 0.0)]
        {
            assert!((erf(x) - want).abs() < 4e-7, "erf({x})");
        }
    }

    #[test]
    fn reductions() {
        let x: Vec<f32> = (0..77).map(|i| i as f32).collect();
        assert_eq!(sum(&x), 2926.0);
        assert_eq!(max(&x), 76.0);
        assert_eq!(dot(&x, &x), sum_squares(&x, 0.0));
        assert_eq!(sum(&[]), 0.0);
    }
}
