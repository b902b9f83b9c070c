//! Byte-level BPE training (Sennrich et al. 2016, <https://arxiv.org/abs/1508.07909>, algorithm 1;
//! on bytes as in GPT-2). A tie goes to the pair with the smaller ids, always.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use athanor_store::Result;
use serde_json::{Map, Value, json};

use super::{
    Algorithm, MAX_TOKEN_BYTES, Texts, Training, added_tokens, check_size, config, count_words,
};
use crate::byte_chars::{BYTE_ORDER, byte_chars};
use crate::split::{CUTTER, PATTERN};
use crate::{SpecialTokens, Tokenizer};

/// A pair seen fewer times is not worth a token.
const MIN_PAIR_COUNT: u64 = 2;

type Pair = (u32, u32);

/// The algorithm's line in the registry.
pub(super) const ALGORITHM: Algorithm =
    Algorithm { name: "byte_bpe", about: "GPT, RoBERTa", specials: &["gpt", "roberta"], train };

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
        I::Item: AsRef<str>,
    {
        let training = Training { vocab_size, lowercase: false, specials: specials.clone() };
        train(&mut texts.into_iter().map(|t| t.as_ref().to_string()), &training)
    }
}

fn train(texts: Texts<'_>, training: &Training) -> Result<Tokenizer> {
    check_size(training, 256, "256 bytes")?;
    let words = count_words(texts, |text, word| {
        CUTTER.words(text, word);
        Ok(())
    })?;
    let specials = &training.specials;
    let mut byte_id = [0u32; 256];
    for (i, &b) in BYTE_ORDER.iter().enumerate() {
        byte_id[b as usize] = i as u32;
    }
    let symbols = |w: &str| w.bytes().map(|b| byte_id[b as usize]).collect();
    let words = words.iter().map(|(w, n)| (symbols(w), *n)).collect();
    let bytes = BYTE_ORDER.iter().map(|&b| vec![b]).collect();
    let size = training.vocab_size - specials.tokens.len();
    let (tokens, merges) = learn(words, bytes, size, |a, b| [a, b].concat());
    Tokenizer::from_json(&to_json(&tokens, &merges, specials), specials, class(specials))
}

/// RoBERTa's own class in transformers would put GPT-2's pattern in the place of ours.
fn class(specials: &SpecialTokens) -> Map<String, Value> {
    if specials.cls.is_none() {
        return Map::new();
    }
    config(json!({"tokenizer_class": "PreTrainedTokenizerFast",
                  "clean_up_tokenization_spaces": false,
                  "model_input_names": ["input_ids", "attention_mask"],
                  "model_max_length": 1_000_000_000_000_000_u64}))
}

/// Learns merges until there are `size` tokens. `words` are symbols, ids of `tokens`, with their
/// counts; `join` gives the text of two tokens side by side. Returns the tokens, and the merged
/// pairs in order.
pub(super) fn learn(
    words: Vec<(Vec<u32>, u64)>,
    mut tokens: Vec<Vec<u8>>,
    size: usize,
    join: fn(&[u8], &[u8]) -> Vec<u8>,
) -> (Vec<Vec<u8>>, Vec<Pair>) {
    let mut ids: HashMap<Vec<u8>, u32> =
        tokens.iter().enumerate().map(|(i, t)| (t.clone(), i as u32)).collect();
    let (mut symbols, counts): (Vec<Vec<u32>>, Vec<u64>) = words.into_iter().unzip();

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
    while tokens.len() < size {
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
        let joined = join(&tokens[pair.0 as usize], &tokens[pair.1 as usize]);
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
    let added = added_tokens(specials, specials.mask.is_some());
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,
                       "use_regex": false});
    let post = match (&specials.cls, &specials.sep) {
        (Some(cls), Some(sep)) => {
            let id = |t: &str| specials.tokens.iter().position(|s| s == t);
            json!({"type": "RobertaProcessing", "sep": [sep, id(sep)], "cls": [cls, id(cls)],
                   "trim_offsets": false, "add_prefix_space": false})
        }
        _ => bytes.clone(),
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated",
             "invert": false},
            bytes.clone(),
        ]},
        "post_processor": post,
        "decoder": bytes,
        "model": {"type": "BPE", "dropout": null, "unk_token": specials.unk,
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
        let words = words.map(|(w, n)| (w.bytes().map(u32::from).collect(), n)).to_vec();
        let bytes = (0..=255u8).map(|b| vec![b]).collect();
        let (tokens, _) = learn(words, bytes, 256 + 4, |a, b| [a, b].concat());
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
