//! Long texts in pieces that are tokenised alike alone and together.

use athanor_store::Result;
use athanor_text::Tokenizer;

/// A text to train on in parts, where it is long: a text without line ends would otherwise be split into
/// words as a whole. Cut behind a line's end or before a space, where words end anyway.
pub(crate) fn parts_of(text: String) -> Vec<String> {
    if text.len() <= 2 * PIECE_BYTES {
        return vec![text];
    }
    let mut out = Vec::new();
    let mut rest = text.as_str();
    while rest.len() > 2 * PIECE_BYTES {
        let window = &rest.as_bytes()[PIECE_BYTES..PIECE_BYTES + (PIECE_BYTES >> 4)];
        let cut = |first: fn(u8) -> bool, second: fn(u8) -> bool| {
            window.windows(2).position(|w| first(w[0]) && second(w[1])).map(|n| PIECE_BYTES + n + 1)
        };
        let at = cut(|a| a == b'\n', |b| b.is_ascii_alphanumeric())
            .or_else(|| cut(|a| a.is_ascii_alphanumeric(), |b| b == b' '));
        let Some(at) = at.filter(|&at| rest.is_char_boundary(at)) else { break };
        let (part, tail) = rest.split_at(at);
        out.push(part.to_string());
        rest = tail;
    }
    out.push(rest.to_string());
    out
}

/// A longer text is encoded in pieces of about this many bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes on each side of a cut by which it is seen that it changes nothing.
const AROUND: usize = 512;
/// Places tried for a cut.
const TRIED: usize = 16;

/// A text in pieces whose ids make up the whole's: cut before a line's end or a space where what is around it has the
/// same ids in one and in two. Where no such place is found the rest is one piece.
pub(crate) fn pieces_of<'a>(tokenizer: &Tokenizer, text: &'a str) -> Result<Vec<&'a str>> {
    let mut out = Vec::new();
    let mut rest = text;
    'next: while rest.len() > 2 * PIECE_BYTES {
        let near = |at: usize| (at..=rest.len()).find(|&n| rest.is_char_boundary(n));
        let from = near(PIECE_BYTES).unwrap_or(rest.len());
        let to = near((from + (PIECE_BYTES >> 4)).min(rest.len())).unwrap_or(rest.len());
        for space in ['\n', ' '] {
            let window = &rest[from..to];
            let single = |at: usize| {
                let beside = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
                beside(rest[..at].chars().next_back()) && beside(rest[at + 1..].chars().next())
            };
            let places = window.match_indices(space).map(|(n, _)| from + n).filter(|&n| single(n));
            for at in places.take(TRIED) {
                let before = near(at - AROUND).unwrap_or(at);
                let behind = near((at + AROUND).min(rest.len())).unwrap_or(rest.len());
                let mut apart = tokenizer.encode(&rest[before..at])?;
                apart.extend(tokenizer.encode(&rest[at..behind])?);
                if apart == tokenizer.encode(&rest[before..behind])? {
                    out.push(&rest[..at]);
                    rest = &rest[at..];
                    continue 'next;
                }
            }
        }
        break;
    }
    out.push(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use athanor_data::splitmix64;
    use athanor_text::ALGORITHMS;
    use athanor_text::Training;

    #[test]
    fn long_texts_have_the_same_ids_in_pieces() {
        let words = ["the", " kiln", "\n\nIt", " was", ", ", "春風", "12", "\nopen", "  and", "'s"];
        let long: String = (0..700_000u64).map(|n| words[(splitmix64(n) % 10) as usize]).collect();
        assert!(long.len() > 2 * PIECE_BYTES);
        for name in ["byte_bpe", "wordpiece", "unigram"] {
            let algorithm = ALGORITHMS.find(name).unwrap();
            let training = Training {
                vocab_size: 400,
                lowercase: false,
                specials: algorithm.specials("").unwrap(),
            };
            let mut some = std::iter::once(long.chars().take(10_000).collect());
            let tokenizer = algorithm.train(&mut some, &training).unwrap();
            let pieces = pieces_of(&tokenizer, &long).unwrap();
            assert_eq!(pieces.concat(), long, "{name}");
            let ids = tokenizer.encode_batch(&pieces).unwrap().concat();
            assert!(ids == tokenizer.encode(&long).unwrap(), "{name}");
            println!("{name}: {} pieces", pieces.len());
            assert!(name != "byte_bpe" || pieces.len() > 1);
        }
        assert_eq!(parts_of(long.clone()).concat(), long);
        assert!(parts_of("one two ".repeat(500_000)).len() > 2);
        // No place to cut.
        let tokenizer = ALGORITHMS.find("byte_bpe").unwrap();
        let training = Training {
            vocab_size: 300,
            lowercase: false,
            specials: tokenizer.specials("").unwrap(),
        };
        let mut some = std::iter::once("ab".to_string());
        let tokenizer = tokenizer.train(&mut some, &training).unwrap();
        assert_eq!(pieces_of(&tokenizer, &"x".repeat(2 * PIECE_BYTES + 1)).unwrap().len(), 1);
    }
}
