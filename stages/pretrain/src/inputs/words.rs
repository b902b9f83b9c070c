//! Which tokens make up a word, for whole-word masking.
//!
//! The vocabulary marks where words begin, except in a row of Chinese characters. There a list of words
//! decides, which was learnt from the corpus ([`Segmenter`]); Cui et al. 2021 use a segmenter with a
//! dictionary.

use std::collections::HashMap;

use athanor_data::Shards;
use athanor_text::{Marks, Segmenter, Tokenizer};

use super::sentences::{byte_text, plain};

/// Most tokens from which Chinese words are learnt.
const LEARN_FROM: u64 = 8 << 20;

/// What a token says about its word.
#[derive(Clone, Debug, Default)]
struct Piece {
    special: bool,
    /// Whether it begins a word, whatever is before it.
    begins: bool,
    /// Whether it goes on a word, whatever is before it: `##`, or half a character.
    goes_on: bool,
    /// Its characters if all are ideographs, and a space before them.
    han: Vec<char>,
    /// Whether it is of letters or digits only.
    letters: bool,
}

/// The words of a vocabulary.
#[derive(Clone, Debug)]
pub struct Words {
    pieces: Vec<Piece>,
    segmenter: Option<Segmenter>,
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

impl Words {
    /// Of a tokeniser. Each ideograph is a word until [`learn`](Self::learn).
    pub fn new(tokenizer: &Tokenizer) -> Self {
        let marks = tokenizer.marks();
        let pieces = (0..tokenizer.vocab_size() as u32)
            .map(|id| match tokenizer.token(id) {
                Some(name) if !tokenizer.is_special(id) => piece(&name, marks),
                _ => Piece { special: true, ..Piece::default() },
            })
            .collect();
        Self { pieces, segmenter: None }
    }

    /// Learns at most `size` Chinese words from the rows of ideographs of a corpus.
    #[must_use]
    pub fn learn(mut self, shards: &Shards, size: usize) -> Self {
        let mut rows: HashMap<Box<str>, u64> = HashMap::new();
        let mut row = String::new();
        const BLOCK: u64 = 1 << 20;
        for from in (0..shards.len().min(LEARN_FROM)).step_by(BLOCK as usize) {
            for id in shards.tokens(from..from + BLOCK) {
                let piece = self.piece(id);
                if (piece.han.is_empty() || self.breaks(piece)) && !row.is_empty() {
                    *rows.entry(std::mem::take(&mut row).into()).or_default() += 1;
                }
                row.extend(&piece.han);
            }
        }
        if !row.is_empty() {
            *rows.entry(row.into()).or_default() += 1;
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_unstable();
        if !rows.is_empty() && size > 0 {
            self.segmenter = Some(Segmenter::train(rows, size));
        }
        self
    }

    /// The Chinese words of two characters and more, the most probable first.
    pub fn chinese(&self) -> Vec<String> {
        self.segmenter.iter().flat_map(Segmenter::words).collect()
    }

    fn piece(&self, id: u32) -> &Piece {
        static NONE: Piece =
            Piece { special: true, begins: true, goes_on: false, han: Vec::new(), letters: false };
        self.pieces.get(id as usize).unwrap_or(&NONE)
    }

    /// Whether a token of ideographs has a space before it.
    fn breaks(&self, piece: &Piece) -> bool {
        piece.begins && !piece.han.is_empty()
    }

    /// Number of each token's word in a row; none for special tokens.
    pub fn number(&self, ids: &[u32]) -> Vec<Option<u32>> {
        let pieces: Vec<&Piece> = ids.iter().map(|&id| self.piece(id)).collect();
        // Whether a token begins a word.
        let mut begins: Vec<bool> = (0..pieces.len())
            .map(|i| {
                let (piece, before) = (pieces[i], i.checked_sub(1).map(|b| pieces[b]));
                let Some(before) = before.filter(|b| !b.special) else { return true };
                if piece.goes_on {
                    return false;
                }
                piece.begins || !(piece.letters && before.letters)
            })
            .collect();
        if let Some(segmenter) = &self.segmenter {
            let mut i = 0;
            while i < pieces.len() {
                let mut to = i + 1;
                if pieces[i].han.is_empty() {
                    i = to;
                    continue;
                }
                while to < pieces.len() && !pieces[to].han.is_empty() && !self.breaks(pieces[to]) {
                    to += 1;
                }
                join(segmenter, &pieces[i..to], &mut begins[i..to]);
                i = to;
            }
        }
        let mut word = 0;
        (pieces.iter().zip(begins))
            .map(|(piece, begins)| {
                word += u32::from(begins);
                (!piece.special).then_some(word)
            })
            .collect()
    }
}

/// Marks the tokens that begin a Chinese word.
fn join(segmenter: &Segmenter, pieces: &[&Piece], begins: &mut [bool]) {
    let row: Vec<char> = pieces.iter().flat_map(|p| p.han.iter().copied()).collect();
    let mut border = vec![false; row.len() + 1];
    let mut at = 0;
    for length in segmenter.cut(&row) {
        border[at] = true;
        at += length;
    }
    at = 0;
    for (piece, begins) in pieces.iter().zip(begins) {
        *begins = border[at];
        at += piece.han.len();
    }
}

fn piece(name: &str, marks: Marks) -> Piece {
    let text = plain(name, marks);
    let chars: Vec<char> = text.trim_start_matches(' ').chars().collect();
    let han = !chars.is_empty() && chars.iter().all(|&c| is_han(c));
    let half = marks == Marks::Bytes && byte_text(name).first().is_some_and(|b| b & 0xC0 == 0x80);
    let letters = !chars.is_empty() && chars.iter().all(|&c| c.is_alphanumeric() && !is_han(c));
    Piece {
        special: false,
        // A character of WordPiece's stands alone unless `##` says otherwise; spaces are not written.
        begins: match marks {
            Marks::WordPiece => !name.starts_with("##") && !han,
            _ => text.starts_with(' '),
        },
        goes_on: half || (marks == Marks::WordPiece && name.starts_with("##")),
        han: if han { chars } else { Vec::new() },
        letters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use athanor_text::{ALGORITHMS, Training};

    #[test]
    fn words_of_every_kind_of_vocabulary() {
        let texts = ["unbelievable beliefs: unbelievably 春風 春風 春 風。 12 2", "believe able 3"];
        for (kind, special) in [("byte_bpe", "gpt"), ("wordpiece", "bert"), ("unigram", "xlnet")] {
            let algorithm = ALGORITHMS.find(kind).unwrap();
            let specials = algorithm.specials(special).unwrap();
            let training = Training { vocab_size: 300, lowercase: false, specials };
            let tokenizer =
                algorithm.train(&mut texts.iter().map(|t| t.to_string()), &training).unwrap();
            let ids = tokenizer.encode("believe unbelievable: 春風").unwrap();
            let mut words = Words::new(&tokenizer);
            let count = |words: &Words| {
                let mut numbers: Vec<u32> = words.number(&ids).into_iter().flatten().collect();
                numbers.dedup();
                numbers.len()
            };
            // believe | unbelievable | : | 春 | 風, and where a token has both ideographs, one less.
            let both = ids.iter().any(|&i| words.piece(i).han.len() == 2);
            let bytes = kind == "byte_bpe";
            if !bytes {
                assert_eq!(count(&words), 5 - usize::from(both), "{kind}");
            }
            let rows = vec![("春風".into(), 9), ("春".into(), 1), ("風".into(), 1)];
            words.segmenter = Some(Segmenter::train(rows, 3));
            assert_eq!(words.chinese(), ["春風"]);
            if !bytes {
                assert_eq!(count(&words), 4, "{kind}");
            }
            // Special tokens are no words.
            let special = tokenizer.pad_id().unwrap();
            let numbers = words.number(&[special, ids[0], special, ids[0]]);
            assert!(numbers[0].is_none() && numbers[2].is_none() && numbers[1] != numbers[3]);
        }
    }
}
