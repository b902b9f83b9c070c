//! SentencePiece's table of characters to be replaced (`precompiled_charsmap`): the number of bytes of a
//! double array (Darts), the array, then texts closed by a zero byte. Walked whole before the tokenizers
//! crate does, which takes for granted that no step leads out of it.

use std::collections::HashSet;

use athanor_store::{Error, Result};
use tokenizers::normalizers::precompiled::Precompiled;

/// Bytes that may replace a character: Unicode's longest compatibility form takes 33.
const LONGEST: usize = 128;

/// From base64.
pub(super) fn read(base64: &str) -> Result<Precompiled> {
    let bytes = decode(base64).ok_or_else(|| bad("no base64"))?;
    check(&bytes)?;
    Precompiled::from(&bytes).map_err(|e| bad(&e.to_string()))
}

fn bad(what: &str) -> Error {
    Error::input(format!("`precompiled_charsmap`: {what}"))
}

/// Where a unit's children are, against its own place.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

fn check(bytes: &[u8]) -> Result<()> {
    let (size, rest) = bytes.split_first_chunk().ok_or_else(|| bad("too short"))?;
    let size = u32::from_le_bytes(*size) as usize / 4 * 4;
    if size == 0 || size > rest.len() {
        return Err(bad("its array is longer than itself, or empty"));
    }
    let (array, texts) = rest.split_at(size);
    let array: Vec<u32> = array.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    let texts = std::str::from_utf8(texts).map_err(|_| bad("its texts are not UTF-8"))?;
    let at = |i: usize| array.get(i).copied().ok_or_else(|| bad("a step leads out of its array"));
    // All the places that lookups may come to. No character takes more than 6 bytes of steps.
    let mut level = vec![offset(array[0])];
    let mut seen: HashSet<usize> = level.iter().copied().collect();
    while let Some(node) = level.pop() {
        for label in 1..=255 {
            let place = node ^ label;
            let unit = at(place)?;
            if unit & (1 << 31 | 0xFF) != label as u32 {
                continue;
            }
            let child = place ^ offset(unit);
            if unit >> 8 & 1 == 1 {
                let text = (at(child)? & !(1 << 31)) as usize;
                let text = texts.get(text..).ok_or_else(|| bad("a text begins out of it"))?;
                let length = text.bytes().position(|b| b == 0).unwrap_or(text.len());
                if length > LONGEST {
                    return Err(bad(&format!("a text of {length} bytes for a character")));
                }
            }
            if seen.insert(child) {
                level.push(child);
            }
        }
    }
    Ok(())
}

/// Base64 with its padding (RFC 4648).
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for &b in group {
            let value = match b {
                b'A'..=b'Z' => b - b'A',
                b'a'..=b'z' => b - b'a' + 26,
                b'0'..=b'9' => b - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let bytes = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        let bits = bits << (6 * (4 - group.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..=bytes]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_comes_back() {
        assert_eq!(decode("").unwrap(), b"");
        assert_eq!(decode("Zg==").unwrap(), b"f");
        assert_eq!(decode("Zm8=").unwrap(), b"fo");
        assert_eq!(decode("Zm9vYmFy").unwrap(), b"foobar");
        assert!(decode("Zm9v*mFy").is_none() && decode("Zm9vY").is_none());
    }

    #[test]
    fn steps_out_of_the_array_are_refused() {
        // One unit; its children would be far behind.
        let mut table = 4u32.to_le_bytes().to_vec();
        table.extend((1u32 << 20).to_le_bytes());
        table.extend(b"a\0");
        assert!(check(&table).is_err());
        // 256 empty units: nothing is replaced.
        let mut table = 1024u32.to_le_bytes().to_vec();
        table.extend([0; 1024]);
        table.extend(b"a\0");
        check(&table).unwrap();
        assert!(check(&[]).is_err() && check(&[255; 9]).is_err());
    }
}
