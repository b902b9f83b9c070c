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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // SHA-256 of nothing begins e3b0c442 98fc1c14.
        assert_eq!(hash64(b""), 0x141C_FC98_42C4_B0E3);
    }
}
