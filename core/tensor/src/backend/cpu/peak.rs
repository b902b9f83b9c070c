//! A loop of multiply-adds in registers, without memory.

use super::simd::{Level, level};

/// Independent sums: enough to hide the latency of two units.
const SUMS: usize = 24;

/// Operations of [`multiply_add`] with so many rounds.
pub(crate) fn flops(rounds: usize) -> f64 {
    let lanes = match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => 16,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => 8,
        Level::Plain => 4,
    };
    // The narrower levels have 16 registers.
    let sums = if lanes == 16 { SUMS } else { SUMS / 2 };
    2.0 * (rounds * sums * lanes) as f64
}

/// Multiply-adds in the widest registers there are; the result only keeps the compiler honest.
pub(crate) fn multiply_add(rounds: usize, start: f32) -> f32 {
    match level() {
        // SAFETY: `level` found these instructions on this processor.
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Level::Avx512 => unsafe { avx512(rounds, start) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        Level::Avx2 => unsafe { avx2(rounds, start) },
        Level::Plain => plain(rounds, start),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(rounds: usize, start: f32) -> f32 {
    use std::arch::x86_64::{_mm512_add_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (a, b) = (_mm512_set1_ps(1.000_000_1), _mm512_set1_ps(1e-9));
    let mut sums = [_mm512_set1_ps(start); SUMS];
    for _ in 0..rounds {
        for s in &mut sums {
            *s = _mm512_fmadd_ps(*s, a, b);
        }
    }
    _mm512_reduce_add_ps(sums.into_iter().fold(a, |x, y| _mm512_add_ps(x, y)))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(rounds: usize, start: f32) -> f32 {
    use std::arch::x86_64::{_mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let (a, b) = (_mm256_set1_ps(1.000_000_1), _mm256_set1_ps(1e-9));
    let mut sums = [_mm256_set1_ps(start); SUMS / 2];
    for _ in 0..rounds {
        for s in &mut sums {
            *s = _mm256_fmadd_ps(*s, a, b);
        }
    }
    _mm256_cvtss_f32(sums.into_iter().fold(a, |x, y| _mm256_add_ps(x, y)))
}

fn plain(rounds: usize, start: f32) -> f32 {
    let mut sums = [[start; 4]; SUMS / 2];
    for _ in 0..rounds {
        for s in &mut sums {
            for v in s {
                *v = *v * 1.000_000_1 + 1e-9;
            }
        }
    }
    sums.iter().flatten().sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_round_counts() {
        // 1 + n·1e-9 and a little more from the factor: the loop was not thrown away.
        let sums = super::flops(1) / 2.0;
        assert!(sums >= 48.0);
        assert!(super::multiply_add(1000, 1.0) > super::multiply_add(0, 1.0));
    }
}
