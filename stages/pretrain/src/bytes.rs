//! How many bytes of text a token stands for.

use athanor_text::Tokenizer;

/// Bytes by token id; 0 for special tokens. In a byte-level vocabulary each character of a token's
/// name stands for one byte.
pub(crate) fn token_bytes(tokenizer: &Tokenizer) -> Vec<u32> {
    let specials = &tokenizer.specials().tokens;
    (0..tokenizer.vocab_size() as u32)
        .map(|id| match tokenizer.token(id) {
            Some(name) if !specials.contains(&name) => name.chars().count() as u32,
            _ => 0,
        })
        .collect()
}
