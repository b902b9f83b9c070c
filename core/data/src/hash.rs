//! Hashes that decide things: the same everywhere, and easy to repeat in Python.

use sha2::{Digest, Sha256};

/// The first eight bytes of the text's SHA-256, little-endian. In Python:
/// `int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")`.
pub fn hash64(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(first)
}

/// One step of SplitMix64 from state `x`: a bijection of 64-bit numbers that scatters them (Steele,
/// Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 16).
pub fn splitmix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // The generator's published stream for seed 0.
        assert_eq!(splitmix64(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(splitmix64(0x9E37_79B9_7F4A_7C15), 0x6E78_9E6A_A1B9_65F4);
        // SHA-256 of nothing begins e3b0c442 98fc1c14.
        assert_eq!(hash64(b""), 0x141C_FC98_42C4_B0E3);
    }
}
