//! SentencePiece's Unigram (Kudo 2018, "Subword regularization", section 3.2): pieces with
//! probabilities, learnt by expectation maximisation from all frequent substrings. The least
//! useful are dropped until the vocabulary has its size. A text is the most probable row of
//! pieces. Spaces are a character of their own (▁, metaspace), as in XLNet and T5.
//!
//! The normalisation is XLNet's in transformers (NFKD without accents). As in SentencePiece, counts
//! are made sparse by the digamma function, and no piece goes from one kind of character to another.
//! Seeds are found by growing frequent substrings one character at a time instead of by a suffix
//! array: the same substrings, in memory that the frequent ones need.

use std::collections::HashMap;

use athanor_store::{Error, Result};
use rayon::prelude::*;
use serde_json::{Value, json};
use tokenizers::NormalizerWrapper;
use tokenizers::tokenizer::{NormalizedString, Normalizer};

use super::{
    Algorithm, Texts, Training, added_tokens, alphabet, check_size, config, count_words, template,
};
use crate::{Tokenizer, trie::Trie};

/// The space as a character.
const METASPACE: char = '▁';
/// Longest piece in characters, as in SentencePiece.
const MAX_PIECE: usize = 16;
/// Most pieces to begin with, as in SentencePiece.
const MAX_SEEDS: usize = 1_000_000;
/// Passes of expectation maximisation between two prunings, as in SentencePiece.
const PASSES: usize = 2;
/// Share of the pieces that a pruning leaves, as in SentencePiece.
const SHRINK: f64 = 0.75;

/// The algorithm's line in the registry.
pub(super) const ALGORITHM: Algorithm =
    Algorithm { name: "unigram", about: "SentencePiece's; XLNet", specials: &["xlnet"], train };

fn train(texts: Texts<'_>, training: &Training) -> Result<Tokenizer> {
    let specials = &training.specials;
    check_size(training, 1, "an alphabet")?;
    let json = normalizer(training.lowercase);
    let rules: NormalizerWrapper = serde_json::from_value(json.clone())
        .map_err(|e| Error::failed(format!("the normaliser: {e}")))?;
    let words = count_words(texts, |text, word| split(&rules, text, word))?;
    let learnt = learn(words, training.vocab_size - specials.tokens.len(), MAX_PIECE);
    let vocab: Vec<Value> = (specials.tokens.iter().map(|t| json!([t, 0.0])))
        .chain(learnt.iter().map(|(piece, score)| json!([piece, score])))
        .collect();
    let unk = specials.unk.as_ref().and_then(|u| specials.tokens.iter().position(|t| t == u));
    let metaspace = json!({"type": "Metaspace", "replacement": METASPACE,
                           "prepend_scheme": "always", "split": true});
    let (cls, sep) = ("<cls>", "<sep>");
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added_tokens(specials, true),
        "normalizer": json,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"}, metaspace.clone()]},
        "post_processor": template(specials, &[("A", 0), (sep, 0), (cls, 2)],
                                   &[("A", 0), (sep, 0), ("B", 1), (sep, 1), (cls, 2)]),
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": unk, "vocab": vocab, "byte_fallback": false},
    });
    let settings = json!({
        "tokenizer_class": "XLNetTokenizer", "do_lower_case": training.lowercase,
        "keep_accents": false, "remove_space": true, "padding_side": "left",
        "additional_special_tokens": ["<eop>", "<eod>"],
        "clean_up_tokenization_spaces": false,
        "model_max_length": 1_000_000_000_000_000_u64,
    });
    Tokenizer::from_json(&json, specials, config(settings))
}

/// XLNet's normalisation in transformers.
fn normalizer(lowercase: bool) -> Value {
    let mut steps = vec![
        json!({"type": "Replace", "pattern": {"String": "``"}, "content": "\""}),
        json!({"type": "Replace", "pattern": {"String": "''"}, "content": "\""}),
        json!({"type": "NFKD"}),
        json!({"type": "StripAccents"}),
    ];
    if lowercase {
        steps.push(json!({"type": "Lowercase"}));
    }
    json!({"type": "Sequence", "normalizers": steps})
}

/// The words of a text, a metaspace before each, cut where the kind of character changes.
fn split(rules: &NormalizerWrapper, text: &str, word: &mut dyn FnMut(&str)) -> Result<()> {
    let mut normalized = NormalizedString::from(text);
    rules
        .normalize(&mut normalized)
        .map_err(|e| Error::input(format!("cannot normalise this text: {e}")))?;
    let mut spaced = String::new();
    for w in normalized.get().split_whitespace() {
        spaced.clear();
        if !w.starts_with(METASPACE) {
            spaced.push(METASPACE);
        }
        spaced.push_str(w);
        let mut from = 0;
        let mut before = Kind::Space;
        for (at, c) in spaced.char_indices() {
            let kind = Kind::of(c);
            if kind != before && before != Kind::Space {
                word(&spaced[from..at]);
                from = at;
            }
            before = kind;
        }
        word(&spaced[from..]);
    }
    Ok(())
}

/// Kinds of characters. A piece has only one kind, except for a space before another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Han,
    Letter,
    Digit,
    Sign,
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            METASPACE => Self::Space,
            // Ideographs, and the kana that Japanese mixes with them, as in SentencePiece.
            '\u{2E80}'..='\u{2FDF}'
            | '\u{3005}'..='\u{3007}'
            | '\u{3040}'..='\u{30FF}'
            | '\u{3400}'..='\u{4DBF}'
            | '\u{4E00}'..='\u{9FFF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{20000}'..='\u{3FFFF}' => Self::Han,
            c if c.is_numeric() => Self::Digit,
            c if c.is_alphabetic() => Self::Letter,
            _ => Self::Sign,
        }
    }
}

/// A piece and its log-probability.
type Piece = (Vec<char>, f64);

/// Learns `size` pieces of at most `longest` characters from words and their counts: text and
/// log-probability, the most probable first.
fn learn(words: Vec<(Box<str>, u64)>, size: usize, longest: usize) -> Vec<(String, f64)> {
    let mut counts: HashMap<char, u64> = HashMap::new();
    for (word, n) in &words {
        for c in word.chars() {
            *counts.entry(c).or_default() += n;
        }
    }
    let letters = alphabet(counts, size);
    let words = segments(&words, &letters);
    let mut pieces = seeds(&words, &letters, longest);
    let enough = size + size / 10;
    loop {
        for _ in 0..PASSES {
            pieces = maximise(&pieces, &expect(&words, &pieces));
        }
        if pieces.len() <= enough {
            break;
        }
        let target = enough.max((pieces.len() as f64 * SHRINK) as usize);
        pieces = prune(&words, pieces, target);
    }
    // Characters first: they have to be there. Then the most probable.
    pieces.sort_by(|a, b| (a.0.len() > 1).cmp(&(b.0.len() > 1)).then_with(|| by_score(a, b)));
    pieces.truncate(size);
    // Few digits: every JSON parser, also one that rounds carelessly, reads the same number, and two
    // rows of pieces that are equally probable stay equal.
    pieces.iter_mut().for_each(|p| p.1 = (p.1 * 1e6).round() / 1e6);
    pieces.sort_by(by_score);
    pieces.into_iter().map(|(p, score)| (p.into_iter().collect(), score)).collect()
}

fn by_score(a: &Piece, b: &Piece) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0))
}

/// Words cut at characters outside of the alphabet, counted anew.
fn segments(words: &[(Box<str>, u64)], letters: &[char]) -> Vec<(Vec<char>, u64)> {
    let mut total: HashMap<Vec<char>, u64> = HashMap::new();
    for (word, n) in words {
        let chars: Vec<char> = word.chars().collect();
        for part in chars.split(|c| letters.binary_search(c).is_err()) {
            if !part.is_empty() {
                *total.entry(part.to_vec()).or_default() += n;
            }
        }
    }
    let mut sorted: Vec<_> = total.into_iter().collect();
    sorted.sort_unstable();
    sorted
}

/// The alphabet, and the substrings that occur at least twice, the best by count times length; with
/// their shares as probabilities.
fn seeds(words: &[(Vec<char>, u64)], letters: &[char], longest: usize) -> Vec<Piece> {
    let mut single: HashMap<char, u64> = HashMap::new();
    for (word, n) in words {
        for &c in word {
            *single.entry(c).or_default() += n;
        }
    }
    let mut found: Vec<(u64, &[char])> = Vec::new();
    // Where a frequent substring of the last length begins, in each word: a longer one can only be
    // frequent where two of these overlap.
    let mut starts: Vec<Vec<u32>> =
        words.iter().map(|(w, _)| (0..w.len() as u32).collect()).collect();
    for length in 2..=longest {
        let mut counts: HashMap<&[char], u64> = HashMap::new();
        for ((word, n), starts) in words.iter().zip(&mut starts) {
            let next: Vec<u32> =
                starts.windows(2).filter(|s| s[0] + 1 == s[1]).map(|s| s[0]).collect();
            *starts = next;
            for &s in starts.iter() {
                *counts.entry(&word[s as usize..s as usize + length]).or_default() += n;
            }
        }
        counts.retain(|_, n| *n >= 2);
        if counts.is_empty() {
            break;
        }
        for ((word, _), starts) in words.iter().zip(&mut starts) {
            starts.retain(|&s| counts.contains_key(&word[s as usize..s as usize + length]));
        }
        found.extend(counts.into_iter().map(|(piece, n)| (n * length as u64, piece)));
    }
    found.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    found.truncate(MAX_SEEDS);
    let letters = letters.iter().map(|&c| (vec![c], single.get(&c).copied().unwrap_or(0)));
    let mut pieces: Vec<Piece> = letters
        .chain(found.into_iter().map(|(n, piece)| (piece.to_vec(), n)))
        .map(|(piece, n)| (piece, n.max(1) as f64))
        .collect();
    let sum: f64 = pieces.iter().map(|p| p.1).sum();
    pieces.iter_mut().for_each(|p| p.1 = (p.1 / sum).ln());
    pieces
}

fn trie(pieces: &[Piece]) -> Trie {
    Trie::new(&pieces.iter().map(|p| p.0.clone()).collect::<Vec<_>>())
}

/// Words are worked on in this many parts, whatever the number of threads, so that sums have one order.
const PARTS: usize = 16;

/// Sums of a value for each piece over all words, in an order that threads do not change.
fn sum_over(
    words: &[(Vec<char>, u64)],
    pieces: usize,
    add: impl Fn(&[char], f64, &mut [f64]) + Sync,
) -> Vec<f64> {
    let parts: Vec<Vec<f64>> = words
        .par_chunks(words.len().div_ceil(PARTS).max(1))
        .map(|part| {
            let mut sums = vec![0.0; pieces];
            part.iter().for_each(|(word, n)| add(word, *n as f64, &mut sums));
            sums
        })
        .collect();
    let mut sums = vec![0.0; pieces];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(a, b)| *a += b);
    }
    sums
}

fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// Expectation: how often each piece is used, over all ways of cutting each word (forward and
/// backward sums, Kudo 2018, eq. 6).
fn expect(words: &[(Vec<char>, u64)], pieces: &[Piece]) -> Vec<f64> {
    let trie = trie(pieces);
    sum_over(words, pieces.len(), |word, count, sums| {
        let n = word.len();
        let mut forward = vec![f64::NEG_INFINITY; n + 1];
        let mut backward = forward.clone();
        (forward[0], backward[n]) = (0.0, 0.0);
        let mut edges: Vec<(usize, usize, u32)> = Vec::new();
        for from in 0..n {
            let before = forward[from];
            trie.prefixes(&word[from..], |length, piece| {
                let to = from + length;
                forward[to] = log_add(forward[to], before + pieces[piece as usize].1);
                edges.push((from, to, piece));
            });
        }
        for &(from, to, piece) in edges.iter().rev() {
            backward[from] = log_add(backward[from], backward[to] + pieces[piece as usize].1);
        }
        for (from, to, piece) in edges {
            let log = forward[from] + pieces[piece as usize].1 + backward[to] - forward[n];
            sums[piece as usize] += count * log.exp();
        }
    })
}

/// A piece that is expected less often goes.
const LEAST_EXPECTED: f64 = 0.5;

/// Maximisation with a sparse prior: log-probability = ψ(count) - ψ(all). Characters stay.
fn maximise(pieces: &[Piece], expected: &[f64]) -> Vec<Piece> {
    let mut kept: Vec<Piece> = pieces
        .iter()
        .zip(expected)
        .filter(|((piece, _), n)| piece.len() == 1 || **n >= LEAST_EXPECTED)
        .map(|((piece, _), n)| (piece.clone(), n.max(0.1)))
        .collect();
    let all = digamma(kept.iter().map(|p| p.1).sum());
    kept.iter_mut().for_each(|p| p.1 = digamma(p.1) - all);
    kept
}

/// ψ, the derivative of ln Γ (Abramowitz and Stegun 6.3.5 and 6.3.18).
fn digamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 8.0 {
        shift -= 1.0 / x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = y * (1.0 / 12.0 - y * (1.0 / 120.0 - y * (1.0 / 252.0 - y / 240.0)));
    shift + x.ln() - 0.5 / x - series
}

/// The most probable way to cut `word`, as pieces, without the piece `without`; none if there is no
/// way. Of two that are equal the one that ends in the shorter piece.
fn best(
    word: &[char],
    trie: &Trie,
    pieces: &[Piece],
    without: Option<u32>,
) -> Option<(Vec<u32>, f64)> {
    let n = word.len();
    let mut score = vec![f64::NEG_INFINITY; n + 1];
    let mut last: Vec<(usize, u32)> = vec![(0, 0); n + 1];
    score[0] = 0.0;
    for from in 0..n {
        if score[from] == f64::NEG_INFINITY {
            continue;
        }
        trie.prefixes(&word[from..], |length, piece| {
            let with = score[from] + pieces[piece as usize].1;
            if Some(piece) != without && with >= score[from + length] {
                score[from + length] = with;
                last[from + length] = (from, piece);
            }
        });
    }
    if score[n] == f64::NEG_INFINITY {
        return None;
    }
    let mut row = Vec::new();
    let mut at = n;
    while at > 0 {
        row.push(last[at].1);
        at = last[at].0;
    }
    row.reverse();
    Some((row, score[n]))
}

/// Keeps the characters and, up to `target`, the pieces that would cost the most likelihood if they were
/// lost and each occurrence were cut in the next best way.
fn prune(words: &[(Vec<char>, u64)], pieces: Vec<Piece>, target: usize) -> Vec<Piece> {
    let trie = trie(&pieces);
    let used = sum_over(words, pieces.len(), |word, count, sums| {
        let cut = best(word, &trie, &pieces, None);
        cut.iter().flat_map(|c| &c.0).for_each(|&p| sums[p as usize] += count);
    });
    let all: f64 = used.iter().sum();
    let mut costs: Vec<(f64, usize)> = (0..pieces.len())
        .into_par_iter()
        .filter(|&i| pieces[i].0.len() > 1 && used[i] > 0.0)
        .map(|i| {
            let (piece, log) = &pieces[i];
            let Some((instead, other)) = best(piece, &trie, &pieces, Some(i as u32)) else {
                return (f64::INFINITY, i);
            };
            if other > *log {
                return (f64::NEG_INFINITY, i);
            }
            // Its uses become uses of each of the others: Σ counts grows by the pieces more.
            let grown = (all + used[i] * (instead.len() as f64 - 1.0)).ln();
            let alternative: f64 =
                instead.iter().map(|&p| (used[p as usize] + used[i]).ln() - grown).sum();
            (used[i] / all * (used[i].ln() - all.ln() - alternative), i)
        })
        .collect();
    costs.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| pieces[a.1].0.cmp(&pieces[b.1].0)));
    let letters = pieces.iter().filter(|p| p.0.len() == 1).count();
    let mut keep = vec![false; pieces.len()];
    costs.iter().take(target.saturating_sub(letters)).for_each(|&(_, i)| keep[i] = true);
    pieces
        .into_iter()
        .zip(keep)
        .filter(|((piece, _), keep)| *keep || piece.len() == 1)
        .map(|(piece, _)| piece)
        .collect()
}

/// Cuts rows of characters that have no spaces, Chinese ones, into words, by a list of words learnt
/// from such rows: the same Unigram model. It needs no dictionary.
#[derive(Clone, Debug)]
pub struct Segmenter {
    pieces: Vec<Piece>,
    trie: Trie,
}

impl Segmenter {
    /// Longest word in characters: most Chinese words have two, set phrases four.
    const LONGEST: usize = 4;

    /// Learns at most `size` words from rows and their counts.
    pub fn train(rows: Vec<(Box<str>, u64)>, size: usize) -> Self {
        let learnt = learn(rows, size, Self::LONGEST);
        let pieces: Vec<Piece> =
            learnt.into_iter().map(|(p, score)| (p.chars().collect(), score)).collect();
        let trie = trie(&pieces);
        Self { pieces, trie }
    }

    /// The number of characters of each word of a row. A character that it has never seen is a word.
    pub fn cut(&self, row: &[char]) -> Vec<usize> {
        let known = |c: &char| {
            let mut any = false;
            self.trie.prefixes(std::slice::from_ref(c), |_, _| any = true);
            any
        };
        let mut lengths = Vec::new();
        let mut rest = row;
        while let Some(first) = rest.first() {
            if !known(first) {
                lengths.push(1);
                rest = &rest[1..];
                continue;
            }
            let (part, tail) = rest.split_at(rest.iter().take_while(|c| known(c)).count());
            rest = tail;
            match best(part, &self.trie, &self.pieces, None) {
                Some((cut, _)) => {
                    lengths.extend(cut.iter().map(|&p| self.pieces[p as usize].0.len()));
                }
                None => lengths.extend(part.iter().map(|_| 1)),
            }
        }
        lengths
    }

    /// The words of two characters and more, the most probable first.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.pieces.iter().filter(|p| p.0.len() > 1).map(|p| p.0.iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digamma_is_that_of_the_tables() {
        // ψ(1) = -γ, ψ(1/2) = -γ - 2 ln 2, ψ(10).
        for (x, want) in [
            (1.0, -0.577_215_664_901_532_9),
            (0.5, -1.963_510_026_021_423_5),
            (10.0, 2.251_752_589_066_721),
        ] {
            assert!((digamma(x) - want).abs() < 1e-10, "ψ({x}) = {}", digamma(x));
        }
    }

    #[test]
    fn kinds_are_kept_apart() {
        let rules = serde_json::from_value(normalizer(false)).unwrap();
        let mut words = Vec::new();
        split(&rules, "Él said ``春風2024，好''", &mut |w| words.push(w.to_owned())).unwrap();
        assert_eq!(words, ["▁El", "▁said", "▁\"", "春風", "2024", ",", "好", "\""]);
    }

    /// Expectations of a word with two ways to be cut, by hand.
    #[test]
    fn expectations_by_hand() {
        let piece = |s: &str, p: f64| (s.chars().collect::<Vec<char>>(), p.ln());
        let pieces = [piece("a", 0.2), piece("b", 0.3), piece("ab", 0.5)];
        let words = [("ab".chars().collect::<Vec<char>>(), 4)];
        // a·b = 0.06, ab = 0.5.
        let found = expect(&words, &pieces);
        for (f, want) in found.iter().zip([0.06, 0.06, 0.5].map(|p| 4.0 * p / 0.56)) {
            assert!((f - want).abs() < 1e-12, "{found:?}");
        }
    }
}
