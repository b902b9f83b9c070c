//! How many bytes of text a token stands for.

use athanor_text::{Marks, Tokenizer};

/// Bytes by token id; 0 for special tokens. In a byte-level vocabulary each character of a token's
/// name stands for one byte; a metaspace is a space; spaces that WordPiece does not write are lost.
pub(crate) fn token_bytes(tokenizer: &Tokenizer) -> Vec<u32> {
    let specials = &tokenizer.specials().tokens;
    let marks = tokenizer.marks();
    (0..tokenizer.vocab_size() as u32)
        .map(|id| match tokenizer.token(id) {
            Some(name) if !specials.contains(&name) => match marks {
                Marks::Bytes => name.chars().count() as u32,
                _ => crate::inputs::sentences::plain(&name, marks).len() as u32,
            },
            _ => 0,
        })
        .collect()
}
