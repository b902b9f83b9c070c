//! The Unigram model (Kudo 2018): the likeliest pieces of a word, by Viterbi. As the tokenizers crate
//! cuts, piece for piece (its models/unigram/model.rs, `encode_optimized`), with less memory: the crate's
//! tree of hash tables takes some 300 bytes for each byte of the vocabulary, these arrays take 9.

use std::sync::Arc;

use athanor_store::{Error, Result};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use tokenizers::Token;

use super::{budget::Budget, vocabulary};

/// Bytes of a piece: a word's time grows with it.
const LONGEST: usize = 1024;
/// What an unknown character costs beyond the least likely piece.
const UNKNOWN_PENALTY: f64 = 10.0;
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Vocabulary {
    /// The pieces one behind the other, and where each ends.
    text: String,
    ends: Vec<u32>,
    scores: Vec<f64>,
    least: f64,
    unknown: Option<u32>,
    byte_fallback: bool,
    trie: Trie,
}

/// A vocabulary of pieces with their log-probabilities.
#[derive(Clone, Debug)]
pub(crate) struct Unigram {
    vocabulary: Arc<Vocabulary>,
    /// Ids that are found in no text, sorted.
    hidden: Arc<[u32]>,
}

/// Pieces by their bytes, breadth first: a node's children lie side by side, sorted.
#[derive(Debug)]
struct Trie {
    /// Where each node's children begin; those of the next node are behind them.
    first: Vec<u32>,
    /// The byte that leads to each node; the root's is not used.
    labels: Vec<u8>,
    /// The piece that ends at each node, or [`NONE`].
    pieces: Vec<u32>,
}

impl Trie {
    /// Of pieces, each the number of its place; of equal ones the last counts.
    fn new<'a>(count: usize, nodes: usize, piece: impl Fn(u32) -> &'a [u8]) -> Self {
        let mut order: Vec<u32> = (0..count as u32).collect();
        order.sort_unstable_by(|&a, &b| piece(a).cmp(piece(b)).then(a.cmp(&b)));
        let mut trie = Self {
            first: Vec::with_capacity(nodes + 2),
            labels: Vec::with_capacity(nodes + 1),
            pieces: Vec::with_capacity(nodes + 1),
        };
        trie.labels.push(0);
        trie.pieces.push(NONE);
        // Ranges of `order` that share a beginning, a level at a time.
        let mut level: Vec<(u32, u32)> = vec![(0, count as u32)];
        let mut depth = 0;
        while !level.is_empty() {
            let mut below = Vec::new();
            let node = trie.labels.len() - level.len();
            for (n, (mut from, to)) in level.into_iter().enumerate() {
                trie.first.push(trie.labels.len() as u32);
                while from < to && piece(order[from as usize]).len() == depth {
                    trie.pieces[node + n] = order[from as usize];
                    from += 1;
                }
                while from < to {
                    let label = piece(order[from as usize])[depth];
                    let same = order[from as usize..to as usize]
                        .partition_point(|&p| piece(p)[depth] == label)
                        as u32;
                    below.push((from, from + same));
                    trie.labels.push(label);
                    trie.pieces.push(NONE);
                    from += same;
                }
            }
            level = below;
            depth += 1;
        }
        trie.first.push(trie.labels.len() as u32);
        trie
    }

    /// The child of a node.
    #[inline]
    fn child(&self, node: usize, label: u8) -> Option<usize> {
        let (from, to) = (self.first[node] as usize, self.first[node + 1] as usize);
        let at = self.labels[from..to].binary_search(&label).ok()?;
        Some(from + at)
    }

    /// The piece that a text is.
    fn get(&self, text: &str) -> Option<u32> {
        let node = text.bytes().try_fold(0, |node, b| self.child(node, b))?;
        Some(self.pieces[node]).filter(|&p| p != NONE)
    }
}

/// The best way to a place of a word.
#[derive(Clone, Copy)]
struct Best {
    id: u32,
    score: f64,
    from: usize,
}

impl Unigram {
    /// From `vocab` of a model, `[["piece", score], …]`.
    pub(super) fn read(
        vocab: &str,
        unknown: Option<usize>,
        byte_fallback: bool,
        budget: &mut Budget,
    ) -> Result<Self> {
        let bad = |e: serde_json::Error| Error::input(format!("bad vocabulary: {e}"));
        let (mut count, mut bytes, mut longest) = (0usize, 0usize, 0usize);
        vocabulary::pieces(vocab, |piece, _| {
            count += 1;
            bytes += piece.len();
            longest = longest.max(piece.len());
        })
        .map_err(bad)?;
        budget.limit("bytes of a piece", longest, LONGEST)?;
        if unknown.is_some_and(|id| id >= count) {
            return Err(Error::input(format!(
                "`unk_id` is {}, the vocabulary has {count} pieces",
                unknown.unwrap_or_default()
            )));
        }
        // Text, ends, scores; the tree; while it is made, the order and two levels of it.
        budget.take("the vocabulary", bytes + 12 * count + 9 * (bytes + 2))?;
        let passing = 4 * count + 24 * count;
        budget.take("the vocabulary", passing)?;
        let mut text = String::with_capacity(bytes);
        let (mut ends, mut scores) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut least = f64::INFINITY;
        vocabulary::pieces(vocab, |piece, score| {
            text.push_str(piece);
            ends.push(text.len() as u32);
            scores.push(score);
            least = if score < least { score } else { least };
        })
        .map_err(bad)?;
        let piece = |id: u32| {
            let from = (id as usize).checked_sub(1).map_or(0, |before| ends[before] as usize);
            &text.as_bytes()[from..ends[id as usize] as usize]
        };
        let trie = Trie::new(count, bytes, piece);
        budget.give(passing);
        let unknown = unknown.map(|id| id as u32);
        let vocabulary = Vocabulary { text, ends, scores, least, unknown, byte_fallback, trie };
        Ok(Self { vocabulary: Arc::new(vocabulary), hidden: Arc::new([]) })
    }

    /// The same vocabulary, except that these pieces are found in no text.
    pub(super) fn without(&self, pieces: &[&str]) -> Self {
        let mut hidden: Vec<u32> = pieces.iter().filter_map(|p| self.id(p)).collect();
        hidden.sort_unstable();
        Self { vocabulary: self.vocabulary.clone(), hidden: hidden.into() }
    }

    /// The number of pieces.
    pub(super) fn len(&self) -> usize {
        self.vocabulary.ends.len()
    }

    pub(super) fn id(&self, piece: &str) -> Option<u32> {
        self.vocabulary.trie.get(piece)
    }

    pub(super) fn piece(&self, id: u32) -> Option<&str> {
        let v = &*self.vocabulary;
        let end = *v.ends.get(id as usize)? as usize;
        let from = (id as usize).checked_sub(1).map_or(0, |before| v.ends[before] as usize);
        v.text.get(from..end)
    }

    fn shown(&self, id: u32) -> bool {
        self.hidden.is_empty() || self.hidden.binary_search(&id).is_err()
    }

    fn found(&self, piece: &str) -> Option<u32> {
        self.id(piece).filter(|&id| self.shown(id))
    }

    /// A word's tokens.
    pub(super) fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        let v = &*self.vocabulary;
        let mut tokens = Vec::new();
        for (from, to) in self.cut(word)? {
            let text = &word[from..to];
            if let Some(id) = self.found(text) {
                tokens.push(Token::new(id, text.to_owned(), (from, to)));
                continue;
            }
            let byte = |b: u8| {
                let name = format!("<0x{b:02X}>");
                self.found(&name).map(|id| Token::new(id, name, (from, to)))
            };
            let bytes: Option<Vec<Token>> =
                v.byte_fallback.then(|| text.bytes().map(byte).collect()).flatten();
            match bytes {
                Some(bytes) => tokens.extend(bytes),
                None => {
                    let id = v.unknown.ok_or(MISSING)?;
                    tokens.push(Token::new(id, text.to_owned(), (from, to)));
                }
            }
        }
        Ok(tokens)
    }

    /// Where a word is cut; unknown characters in a row are one piece.
    fn cut(&self, word: &str) -> tokenizers::Result<Vec<(usize, usize)>> {
        let v = &*self.vocabulary;
        let unknown_score = v.least - UNKNOWN_PENALTY;
        let mut best: Vec<Option<Best>> = vec![None; word.len() + 1];
        for (from, c) in word.char_indices() {
            let till_here = best[from].map_or(0.0, |b| b.score);
            let single = from + c.len_utf8();
            let mut has_single = false;
            let mut to_here = |to: usize, id: u32, score: f64| {
                let score = till_here + score;
                if best[to].is_none_or(|b| score > b.score) {
                    best[to] = Some(Best { id, score, from });
                }
            };
            let mut node = 0;
            for (n, b) in word.as_bytes()[from..].iter().enumerate() {
                let Some(child) = v.trie.child(node, *b) else { break };
                node = child;
                let id = v.trie.pieces[node];
                if id != NONE && self.shown(id) {
                    to_here(from + n + 1, id, v.scores[id as usize]);
                    has_single |= from + n + 1 == single;
                }
            }
            if !has_single {
                match v.unknown {
                    Some(id) => to_here(single, id, unknown_score),
                    // The crate complains only where the unknown piece would be the best.
                    None if best[single].is_none_or(|b| till_here + unknown_score > b.score) => {
                        return Err(MISSING.into());
                    }
                    None => {}
                }
            }
        }
        let mut cuts: Vec<(usize, usize)> = Vec::new();
        let mut end = word.len();
        let mut after_unknown = false;
        while end > 0 {
            let Some(Best { id, from, .. }) = best[end] else { return Err(MISSING.into()) };
            let unknown = Some(id) == v.unknown;
            match cuts.last_mut() {
                Some(cut) if unknown && after_unknown => cut.0 = from,
                _ => cuts.push((from, end)),
            }
            after_unknown = unknown;
            end = from;
        }
        cuts.reverse();
        Ok(cuts)
    }
}

const MISSING: &str = "a character that the vocabulary does not have, and no `unk_id`";

impl Serialize for Unigram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Pieces<'a>(&'a Unigram);
        impl Serialize for Pieces<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let scores = self.0.vocabulary.scores.iter().enumerate();
                serializer.collect_seq(
                    scores.map(|(id, score)| (self.0.piece(id as u32).unwrap_or(""), score)),
                )
            }
        }
        let mut model = serializer.serialize_struct("Unigram", 4)?;
        model.serialize_field("type", "Unigram")?;
        model.serialize_field("unk_id", &self.vocabulary.unknown)?;
        model.serialize_field("vocab", &Pieces(self))?;
        model.serialize_field("byte_fallback", &self.vocabulary.byte_fallback)?;
        model.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::{Model as _, models::unigram};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]
        #[test]
        fn cuts_as_the_crate_does(
            pieces in prop::collection::vec(("[ab春]{1,4}", -9i32..0), 1..14),
            unknown in prop::option::of(0usize..3),
            byte_fallback in any::<bool>(),
            word in "[abc春風]{0,10}",
        ) {
            let mut pieces: Vec<(String, f64)> =
                pieces.into_iter().map(|(p, s)| (p, f64::from(s))).collect();
            pieces.push(("<0x63>".into(), -3.0));
            let unknown = unknown.filter(|&id| id < pieces.len());
            let theirs = unigram::Unigram::from(pieces.clone(), unknown, byte_fallback).unwrap();
            let json = serde_json::to_string(&pieces).unwrap();
            let ours =
                Unigram::read(&json, unknown, byte_fallback, &mut Budget::new(json.len())).unwrap();
            prop_assert_eq!(
                ours.tokenize(&word).map_err(drop), theirs.tokenize(&word).map_err(drop)
            );
            prop_assert_eq!(
                serde_json::to_string(&ours).unwrap(), serde_json::to_string(&theirs).unwrap()
            );
            for (id, (piece, _)) in pieces.iter().enumerate() {
                prop_assert_eq!(ours.piece(id as u32), Some(piece.as_str()));
                prop_assert_eq!(ours.id(piece), theirs.token_to_id(piece));
            }
        }
    }
}
