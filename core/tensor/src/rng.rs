//! Counter-based random numbers: the value depends only on (seed, stream, counter), so nothing
//! has to be saved for a resume and every thread, or a GPU, gets the same numbers.
//!
//! Philox4x32-10, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".

const M0: u32 = 0xD251_1F53;
const M1: u32 = 0xCD9E_8D57;
const W0: u32 = 0x9E37_79B9;
const W1: u32 = 0xBB67_AE85;

#[inline(always)]
fn philox(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let (mut k, mut c) = (key, counter);
    for _ in 0..10 {
        let a = u64::from(M0) * u64::from(c[0]);
        let b = u64::from(M1) * u64::from(c[2]);
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(W0), k[1].wrapping_add(W1)];
    }
    c
}

/// SplitMix64's finaliser (Steele et al. 2014): a good 64-bit hash of one word.
pub fn splitmix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stream of random numbers named by a seed and a path of words.
///
/// ```
/// use athanor_tensor::Rng;
/// let step = Rng::new(42).fork("dropout").at(1000);
/// assert_eq!(step.uniform(7), Rng::new(42).fork("dropout").at(1000).uniform(7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rng {
    key: [u32; 2],
    stream: u64,
}

impl Rng {
    /// The root stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], stream: 0 }
    }

    /// The sub-stream of a name.
    #[must_use]
    pub fn fork(self, name: &str) -> Self {
        // FNV-1a: the name only has to give distinct words.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        self.at(hash)
    }

    /// The sub-stream of a number, such as a step.
    #[must_use]
    pub fn at(self, index: u64) -> Self {
        Self { stream: splitmix64(self.stream ^ splitmix64(index)), ..self }
    }

    /// Four words at `counter`.
    #[inline(always)]
    pub fn block(&self, counter: u64) -> [u32; 4] {
        philox(
            self.key,
            [
                counter as u32,
                (counter >> 32) as u32,
                self.stream as u32,
                (self.stream >> 32) as u32,
            ],
        )
    }

    /// The blocks at `counter`, `counter` + 1, … of sixteen counters, in lanes: `[word][block]`.
    // Indices, so that each line is one instruction over sixteen lanes.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    pub(crate) fn blocks16(&self, counter: u64) -> [[u32; 16]; 4] {
        let mut c = [[0u32; 16]; 4];
        for i in 0..16 {
            let at = counter + i as u64;
            c[0][i] = at as u32;
            c[1][i] = (at >> 32) as u32;
        }
        c[2] = [self.stream as u32; 16];
        c[3] = [(self.stream >> 32) as u32; 16];
        let mut k = self.key;
        for _ in 0..10 {
            let mut next = [[0u32; 16]; 4];
            for i in 0..16 {
                let a = u64::from(M0) * u64::from(c[0][i]);
                let b = u64::from(M1) * u64::from(c[2][i]);
                next[0][i] = (b >> 32) as u32 ^ c[1][i] ^ k[0];
                next[1][i] = b as u32;
                next[2][i] = (a >> 32) as u32 ^ c[3][i] ^ k[1];
                next[3][i] = a as u32;
            }
            c = next;
            k = [k[0].wrapping_add(W0), k[1].wrapping_add(W1)];
        }
        c
    }

    /// Uniform in [0, 1) with 24 bits.
    pub fn uniform(&self, counter: u64) -> f32 {
        (self.block(counter)[0] >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in [0, 1) with 53 bits.
    pub fn uniform_f64(&self, counter: u64) -> f64 {
        let [a, b, ..] = self.block(counter);
        ((u64::from(a) << 32 | u64::from(b)) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// An integer below `n` (`n` > 0; bias below n / 2^64).
    pub fn below(&self, counter: u64, n: u64) -> u64 {
        let [a, b, ..] = self.block(counter);
        ((u128::from(u64::from(a) << 32 | u64::from(b)) * u128::from(n)) >> 64) as u64
    }

    /// Standard normal values by Box and Muller, `out[i]` being that of counter `i`.
    pub fn fill_normal(&self, out: &mut [f32], mean: f32, std: f32) {
        for (i, pair) in out.chunks_mut(2).enumerate() {
            let [a, b, c, d] = self.block(i as u64);
            let unit = |x: u32, y: u32| {
                ((u64::from(x) << 32 | u64::from(y)) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
            };
            let radius = (-2.0 * (1.0 - unit(a, b)).ln()).sqrt();
            let angle = std::f64::consts::TAU * unit(c, d);
            pair[0] = mean + std * (radius * angle.cos()) as f32;
            if let Some(second) = pair.get_mut(1) {
                *second = mean + std * (radius * angle.sin()) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_matches_the_reference_vectors() {
        // kat_vectors of the Random123 distribution, philox 4x32 10.
        assert_eq!(philox([0, 0], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 2], [u32::MAX; 4]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn lanes_are_the_same_blocks() {
        let rng = Rng::new(0xfeed_0123_4567).fork("lanes");
        for first in [0, 5, u64::from(u32::MAX) - 7] {
            let lanes = rng.blocks16(first);
            for (i, counter) in (first..first + 16).enumerate() {
                assert_eq!(rng.block(counter), lanes.map(|word| word[i]));
            }
        }
    }

    #[test]
    fn normals_have_the_right_moments() {
        let mut x = vec![0.0; 40_001];
        Rng::new(1).fork("init").fill_normal(&mut x, 1.0, 2.0);
        let n = x.len() as f32;
        let mean = x.iter().sum::<f32>() / n;
        let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n;
        assert!((mean - 1.0).abs() < 0.05 && (var - 4.0).abs() < 0.12, "{mean} {var}");
    }

    #[test]
    fn splitmix64_is_the_published_stream() {
        // Seed 0 of Steele, Lea and Flood's generator.
        assert_eq!(splitmix64(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(splitmix64(0x9E37_79B9_7F4A_7C15), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn streams_differ() {
        let a = Rng::new(1).fork("a");
        assert_ne!(a.block(0), Rng::new(1).fork("b").block(0));
        assert_ne!(a.at(0).block(0), a.at(1).block(0));
        assert!((0..1000).all(|i| a.below(i, 7) < 7));
    }
}
