//! N-grams of a text's words as 64-bit hashes.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use athanor_data::splitmix64;

/// A hasher without keys: FNV-like over words of eight bytes, mixed at the end. Only for maps that are
/// never iterated in their own order.
#[derive(Default)]
pub(crate) struct FastHasher(u64);

pub(crate) type Fast = BuildHasherDefault<FastHasher>;

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        splitmix64(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

/// A hash of a text, the same on every machine.
pub(crate) fn hash(text: &str) -> u64 {
    let mut hasher = FastHasher(text.len() as u64);
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// Odd, so that powers of it keep all 64 bits.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A text's words joined, with the hash of every part between two words: differences of prefix hashes
/// over the bytes (Karp and Rabin 1987). Two n-grams are the same if they are so when joined, as
/// datatrove has it; that others have the same hash has a chance of about 2⁻⁶⁰.
pub(crate) struct Grams {
    /// Hash of the bytes before each word, and behind the last.
    prefix: Vec<u64>,
    /// Characters before each.
    characters: Vec<usize>,
    /// `BASE` to the power of the bytes before each.
    powers: Vec<u64>,
    /// For sequences of words rather than of bytes.
    words: Vec<u64>,
}

impl Grams {
    pub(crate) fn new(words: &[&str]) -> Self {
        let n = words.len() + 1;
        let mut grams = Self {
            prefix: Vec::with_capacity(n),
            characters: Vec::with_capacity(n),
            powers: Vec::with_capacity(n),
            words: Vec::with_capacity(n),
        };
        let (mut hash, mut characters, mut power, mut sequence) = (0u64, 0, 1u64, 0u64);
        let mut push = |hash, characters, power, sequence| {
            grams.prefix.push(hash);
            grams.characters.push(characters);
            grams.powers.push(power);
            grams.words.push(sequence);
        };
        push(hash, characters, power, sequence);
        for word in words {
            for &b in word.as_bytes() {
                hash = hash.wrapping_mul(BASE).wrapping_add(splitmix64(u64::from(b) + 1));
                power = power.wrapping_mul(BASE);
            }
            characters += word.chars().count();
            sequence = sequence.wrapping_mul(BASE).wrapping_add(self::hash(word));
            push(hash, characters, power, sequence);
        }
        grams
    }

    /// Characters (without spaces between) and times of the commonest n-gram; of several the first.
    pub(crate) fn commonest(&self, n: usize) -> Option<(usize, usize)> {
        let power = (0..n).fold(1u64, |power, _| power.wrapping_mul(BASE));
        let count = self.words.len().checked_sub(n + 1)? + 1;
        let mut times: HashMap<u64, (u32, u32), Fast> =
            HashMap::with_capacity_and_hasher(count, Fast::default());
        let (mut most, mut first) = (0, u32::MAX);
        for at in 0..count {
            let gram = self.words[at + n].wrapping_sub(self.words[at].wrapping_mul(power));
            let entry = times.entry(gram).or_insert((0, at as u32));
            entry.0 += 1;
            if entry.0 > most || (entry.0 == most && entry.1 < first) {
                (most, first) = *entry;
            }
        }
        let at = first as usize;
        Some((self.characters[at + n] - self.characters[at], most as usize))
    }

    /// Characters in n-grams that came before, counted without overlap.
    pub(crate) fn repeated(&self, n: usize) -> usize {
        let Some(count) = self.prefix.len().checked_sub(n) else { return 0 };
        let mut seen: std::collections::HashSet<u64, Fast> =
            std::collections::HashSet::with_capacity_and_hasher(count, Fast::default());
        let (mut at, mut found) = (0, 0);
        while at < count {
            // The power that belongs to the bytes between: powers are of an odd base, so it is
            // the quotient, kept as a product on the other side.
            let gram = self.between(at, at + n);
            if seen.insert(gram) {
                at += 1;
            } else {
                found += self.characters[at + n] - self.characters[at];
                at += n;
            }
        }
        found
    }

    fn between(&self, from: usize, to: usize) -> u64 {
        // hash(to) − hash(from)·BASE^(bytes between), where the exponent differs from one n-gram to
        // the next: BASE^(bytes before to) · inverse(BASE^(bytes before from)).
        let power = self.powers[to].wrapping_mul(inverse(self.powers[from]));
        self.prefix[to].wrapping_sub(self.prefix[from].wrapping_mul(power))
    }
}

/// The inverse of an odd number modulo 2⁶⁴, by Newton's iteration.
fn inverse(n: u64) -> u64 {
    let mut x = n.wrapping_mul(3) ^ 2;
    for _ in 0..4 {
        x = x.wrapping_mul(2u64.wrapping_sub(n.wrapping_mul(x)));
    }
    x
}
