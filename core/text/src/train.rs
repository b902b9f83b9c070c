//! Byte-level BPE training (Sennrich et al. 2016, <https://arxiv.org/abs/1508.07909>, algorithm 1;
//! on bytes as in GPT-2).
//!
//! Ours rather than the `tokenizers` crate's, which walks hash maps with random seeds, so that ties
//! may fall differently from run to run, and counts pairs in 32 bits. Here a tie goes to the pair
//! with the smaller ids, always.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use athanor_store::{Error, Result};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::split::{PATTERN, Splitter};
use crate::{SpecialTokens, Tokenizer};

/// No token is longer than this: keeps rows of dashes and copied sentences out of the vocabulary.
const MAX_TOKEN_BYTES: usize = 32;
/// A pair seen fewer times is not worth a token.
const MIN_PAIR_COUNT: u64 = 2;
/// Texts are counted in parallel in batches of about this many bytes.
const BATCH_BYTES: usize = 16 << 20;

type Pair = (u32, u32);

impl Tokenizer {
    /// Trains a byte-level BPE tokeniser on `texts`: ids are the special tokens, the 256 bytes,
    /// then the merges in order. The result depends on the texts alone, not on their order nor on
    /// the number of threads. It has fewer than `vocab_size` tokens if the texts have too few pairs.
    ///
    /// # Errors
    /// Input, if `vocab_size` has no room for the special tokens and the 256 bytes, or if the texts
    /// are empty.
    pub fn train_byte_bpe<I>(texts: I, vocab_size: usize, specials: &SpecialTokens) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str> + Sync + Send,
    {
        let base = specials.tokens.len() + 256;
        if vocab_size < base || vocab_size > u32::MAX as usize {
            return Err(Error::input(format!(
                "a vocabulary of {vocab_size} tokens; at least {base} are needed, for 256 bytes \
                 and {} special tokens",
                specials.tokens.len()
            ))
            .hint("2000 to 8000 suits a few megabytes of text, 32000 and more a few gigabytes"));
        }
        let words = count_words(texts)?;
        if words.is_empty() {
            return Err(Error::input("no text to train a tokeniser on"));
        }
        let (tokens, merges) = learn(words, vocab_size, specials.tokens.len());
        Tokenizer::from_json(&to_json(&tokens, &merges, specials), specials)
    }
}

/// How often each pre-token occurs.
fn count_words<I>(texts: I) -> Result<Vec<(Box<[u8]>, u64)>>
where
    I: IntoIterator,
    I::Item: AsRef<str> + Sync + Send,
{
    let splitter = Splitter::new()?;
    let mut total: HashMap<Box<[u8]>, u64> = HashMap::new();
    let mut flush = |batch: &mut Vec<I::Item>| -> Result<()> {
        let parts: Vec<Result<HashMap<Box<[u8]>, u64>>> = batch
            .par_iter()
            .map(|text| {
                let mut counts = HashMap::new();
                splitter.words(text.as_ref(), |w| {
                    if let Some(n) = counts.get_mut(w.as_bytes()) {
                        *n += 1;
                    } else {
                        counts.insert(w.as_bytes().into(), 1);
                    }
                })?;
                Ok(counts)
            })
            .collect();
        for part in parts {
            for (word, n) in part? {
                *total.entry(word).or_default() += n;
            }
        }
        batch.clear();
        Ok(())
    };
    let mut batch = Vec::new();
    let mut bytes = 0;
    for text in texts {
        bytes += text.as_ref().len();
        batch.push(text);
        if bytes >= BATCH_BYTES {
            flush(&mut batch)?;
            bytes = 0;
        }
    }
    flush(&mut batch)?;
    // Sorted, so that nothing below sees the hash map's order.
    let mut words: Vec<_> = total.into_iter().collect();
    words.sort_unstable();
    Ok(words)
}

/// Learns merges until the vocabulary is full. Returns the bytes of each token behind the special
/// ones, and the merged pairs in order.
fn learn(
    words: Vec<(Box<[u8]>, u64)>,
    vocab_size: usize,
    specials: usize,
) -> (Vec<Vec<u8>>, Vec<Pair>) {
    let mut tokens: Vec<Vec<u8>> = BYTE_ORDER.iter().map(|&b| vec![b]).collect();
    let mut ids: HashMap<Vec<u8>, u32> =
        tokens.iter().enumerate().map(|(i, t)| (t.clone(), i as u32)).collect();
    let mut byte_id = [0u32; 256];
    for (i, &b) in BYTE_ORDER.iter().enumerate() {
        byte_id[b as usize] = i as u32;
    }
    let counts: Vec<u64> = words.iter().map(|w| w.1).collect();
    let mut symbols: Vec<Vec<u32>> =
        words.iter().map(|w| w.0.iter().map(|&b| byte_id[b as usize]).collect()).collect();
    drop(words);

    let mut pairs: HashMap<Pair, u64> = HashMap::new();
    let mut places: HashMap<Pair, Vec<u32>> = HashMap::new();
    for (i, word) in symbols.iter().enumerate() {
        for pair in word.windows(2).map(|w| (w[0], w[1])) {
            *pairs.entry(pair).or_default() += counts[i];
            places.entry(pair).or_default().push(i as u32);
        }
    }
    let mut heap: BinaryHeap<(u64, Reverse<Pair>)> =
        pairs.iter().map(|(&p, &n)| (n, Reverse(p))).collect();

    let mut merges = Vec::new();
    while specials + tokens.len() < vocab_size {
        let Some((count, Reverse(pair))) = heap.pop() else { break };
        let now = pairs.get(&pair).copied().unwrap_or(0);
        if now != count {
            // An entry from before other merges took some of its occurrences.
            if now > 0 {
                heap.push((now, Reverse(pair)));
            }
            continue;
        }
        if count < MIN_PAIR_COUNT {
            break;
        }
        let joined = [&tokens[pair.0 as usize][..], &tokens[pair.1 as usize][..]].concat();
        if joined.len() > MAX_TOKEN_BYTES {
            pairs.remove(&pair);
            continue;
        }
        // Two ways of joining may give the same bytes: one token, two merges.
        let new = *ids.entry(joined.clone()).or_insert_with(|| {
            tokens.push(joined);
            tokens.len() as u32 - 1
        });
        merges.push(pair);

        let mut at = places.remove(&pair).unwrap_or_default();
        at.sort_unstable();
        at.dedup();
        let mut grown: Vec<Pair> = Vec::new();
        for i in at {
            let word = &mut symbols[i as usize];
            let n = counts[i as usize];
            for old in word.windows(2).map(|w| (w[0], w[1])) {
                if let Some(c) = pairs.get_mut(&old) {
                    *c = c.saturating_sub(n);
                }
            }
            merge(word, pair, new);
            for p in word.windows(2).map(|w| (w[0], w[1])) {
                *pairs.entry(p).or_default() += n;
                if p.0 == new || p.1 == new {
                    places.entry(p).or_default().push(i);
                    grown.push(p);
                }
            }
        }
        pairs.remove(&pair);
        grown.sort_unstable();
        grown.dedup();
        heap.extend(grown.into_iter().filter(|p| *p != pair).map(|p| (pairs[&p], Reverse(p))));
    }
    (tokens, merges)
}

/// Replaces `pair` by `new` from left to right.
fn merge(word: &mut Vec<u32>, pair: Pair, new: u32) {
    let mut write = 0;
    let mut read = 0;
    while read < word.len() {
        if read + 1 < word.len() && (word[read], word[read + 1]) == pair {
            word[write] = new;
            read += 2;
        } else {
            word[write] = word[read];
            read += 1;
        }
        write += 1;
    }
    word.truncate(write);
}

/// The bytes in the order of GPT-2's byte characters: printable ones first.
static BYTE_ORDER: [u8; 256] = {
    let mut order = [0u8; 256];
    let mut n = 0;
    let mut pass = 0;
    while pass < 2 {
        let mut b = 0usize;
        while b < 256 {
            let printable = matches!(b as u8, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
            if printable == (pass == 0) {
                order[n] = b as u8;
                n += 1;
            }
            b += 1;
        }
        pass += 1;
    }
    order
};

/// GPT-2's printable character for each byte (`bytes_to_unicode` in its encoder.py).
fn byte_chars() -> [char; 256] {
    let mut chars = ['\0'; 256];
    for (i, &b) in BYTE_ORDER.iter().enumerate() {
        chars[b as usize] = if i < 188 {
            char::from(b)
        } else {
            char::from_u32(256 + (i as u32 - 188)).unwrap_or('\0')
        };
    }
    chars
}

/// The tokeniser as tokenizer.json.
fn to_json(tokens: &[Vec<u8>], merges: &[Pair], specials: &SpecialTokens) -> Value {
    let chars = byte_chars();
    let text = |id: u32| -> String {
        tokens[id as usize].iter().map(|&b| chars[b as usize]).collect::<String>()
    };
    let first = specials.tokens.len();
    let mut vocab = serde_json::Map::new();
    for (i, t) in specials.tokens.iter().enumerate() {
        vocab.insert(t.clone(), json!(i));
    }
    for i in 0..tokens.len() {
        vocab.insert(text(i as u32), json!(first + i));
    }
    let merges: Vec<Value> = merges.iter().map(|&(a, b)| json!([text(a), text(b)])).collect();
    let added: Vec<Value> = (specials.tokens.iter().enumerate())
        .map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,
                       "use_regex": false});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated",
             "invert": false},
            bytes.clone(),
        ]},
        "post_processor": bytes.clone(),
        "decoder": bytes,
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
                  "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": vocab, "merges": merges},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_by_hand() {
        // Sennrich et al. 2016, figure 1's words: "es" and "est" come first ("es" 9 times).
        let words = [("low", 5u64), ("lower", 2), ("newest", 6), ("widest", 3)];
        let words = words.map(|(w, n)| (w.as_bytes().into(), n)).to_vec();
        let (tokens, _) = learn(words, 256 + 4, 0);
        let new: Vec<&str> =
            tokens[256..].iter().map(|t| std::str::from_utf8(t).unwrap()).collect();
        assert_eq!(new, ["es", "est", "lo", "low"]);
    }

    #[test]
    fn overlapping_pairs_merge_from_the_left() {
        let mut word = vec![7, 7, 7, 7, 7];
        merge(&mut word, (7, 7), 9);
        assert_eq!(word, [9, 9, 7]);
    }

    #[test]
    fn byte_characters_are_gpt2s() {
        let chars = byte_chars();
        assert_eq!(chars[b' ' as usize], 'Ġ');
        assert_eq!(chars[b'\n' as usize], 'Ċ');
        assert_eq!(chars[0xAD], '\u{143}');
        assert_eq!(chars[0xE6], 'æ');
    }
}
