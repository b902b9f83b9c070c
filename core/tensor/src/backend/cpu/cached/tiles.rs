//! The same by AVX-512, sixteen places at a time: their sums of products are added up across lanes together, which
//! costs three instructions a place where one alone costs a dozen, and the output stays in registers meanwhile.

use std::arch::x86_64::*;

use super::{Heads, View};
use crate::dtype::{DType, Element};

/// Numbers of a register, and places of a tile.
const LANES: usize = 16;

/// Sixteen numbers as f32.
///
/// # Safety
/// They must be valid for reads.
#[inline]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
unsafe fn load<T: Element>(from: *const T) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe {
        match T::DTYPE {
            DType::F32 => _mm512_loadu_ps(from.cast()),
            DType::Bf16 => {
                let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
            }
        }
    }
}

/// The sum of each of sixteen registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold(x: [__m512; LANES]) -> __m512 {
    let mut fours = [_mm512_setzero_ps(); 4];
    for i in 0..4 {
        let [a, b, c, d] = [x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]];
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
        let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        let high = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        fours[i] = _mm512_add_ps(low, high);
    }
    let [a, b, c, d] = fours;
    // Quarters 0 and 2 of both, and 1 and 3.
    let ab = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
    let cd = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
    _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd))
}

/// As [`attend`](super::attend), for heads of a multiple of [`LANES`].
///
/// # Panics
/// If a slice is too short, or the scores are of another size.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2")]
#[allow(clippy::needless_range_loop)]
pub(super) fn attend<T: Element>(mut job: Heads<'_, T>) {
    let (query, k, v) = (job.query, job.k, job.v);
    let View { seen, width, first, group, dim, scale } = job.view;
    let heads = query.len() / dim;
    let of = |h: usize| (first + h) / group * dim;
    assert!(
        dim.is_multiple_of(LANES)
            && heads > 0
            && of(heads - 1) + dim <= width
            && k.len() >= seen * width
            && v.len() >= seen * width
            && job.scores.len() == heads * seen
            && job.out.len() >= heads * dim,
        "cached attention: slices of other sizes"
    );
    for from in (0..seen).step_by(LANES) {
        let places = LANES.min(seen - from);
        for h in 0..heads {
            // Behind the last place it is read again.
            let mut keys = [k.as_ptr(); LANES];
            for (p, key) in keys.iter_mut().enumerate() {
                *key = k[(from + p.min(places - 1)) * width + of(h)..].as_ptr();
            }
            let mut sums = [_mm512_setzero_ps(); LANES];
            for c in (0..dim).step_by(LANES) {
                // SAFETY: a head has dim numbers, in query and keys.
                #[allow(unsafe_code)]
                unsafe {
                    let q = load(query.as_ptr().add(h * dim + c));
                    for p in 0..LANES {
                        sums[p] = _mm512_fmadd_ps(q, load(keys[p].add(c)), sums[p]);
                    }
                }
            }
            let sums = _mm512_mul_ps(fold(sums), _mm512_set1_ps(scale));
            let mask = ((1u32 << places) - 1) as u16;
            // SAFETY: as many scores as there are places.
            #[allow(unsafe_code)]
            unsafe {
                _mm512_mask_storeu_ps(job.scores[h * seen + from..].as_mut_ptr(), mask, sums);
            }
        }
    }
    job.weigh();
    let Heads { scores, out, .. } = job;
    for from in (0..seen).step_by(LANES) {
        let places = LANES.min(seen - from);
        for h in 0..heads {
            let mut c = 0;
            while c < dim {
                c += match dim - c {
                    64.. => {
                        mix::<T, 4>(h, c, from, places, [seen, width, of(h), dim], v, scores, out)
                    }
                    _ => mix::<T, 1>(h, c, from, places, [seen, width, of(h), dim], v, scores, out),
                };
            }
        }
    }
}

/// Adds the weighted values of some places to `N` registers of a head's output, from number c on. How many numbers
/// these are.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2")]
#[allow(clippy::too_many_arguments, clippy::needless_range_loop)]
fn mix<T: Element, const N: usize>(
    h: usize,
    c: usize,
    from: usize,
    places: usize,
    [seen, width, of, dim]: [usize; 4],
    v: &[T],
    scores: &[f32],
    out: &mut [f32],
) -> usize {
    let out = &mut out[h * dim + c..h * dim + c + N * LANES];
    let weights = &scores[h * seen + from..h * seen + from + places];
    let mut sums = [_mm512_setzero_ps(); N];
    // SAFETY: slices of that length.
    #[allow(unsafe_code)]
    unsafe {
        for n in 0..N {
            sums[n] = load(out.as_ptr().add(n * LANES));
        }
        for (p, &weight) in weights.iter().enumerate() {
            let at = (from + p) * width + of + c;
            let values = v[at..at + N * LANES].as_ptr();
            let weight = _mm512_set1_ps(weight);
            for n in 0..N {
                sums[n] = _mm512_fmadd_ps(weight, load(values.add(n * LANES)), sums[n]);
            }
        }
        for n in 0..N {
            _mm512_storeu_ps(out.as_mut_ptr().add(n * LANES), sums[n]);
        }
    }
    N * LANES
}
