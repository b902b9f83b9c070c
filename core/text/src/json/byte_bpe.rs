//! Byte-level BPE to ids alone: the same ids as the tokenizers crate, without its copies of the text, its
//! offsets and its tokens as strings. Text is cut (by hand where we know the pattern, crate::cut), and each
//! piece looked up among those seen of late or merged on its bytes: the pair of the lowest rank first, of
//! equal ones the leftmost (Sennrich et al. 2016, algorithm 1, as GPT-2's encoder.py applies it).

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use ahash::RandomState;
use athanor_store::Result;
use tokenizers::{
    Model as _, PreTokenizerWrapper, SplitDelimiterBehavior, models::bpe::BPE,
    tokenizer::pattern::Pattern as _,
};

use super::{
    budget::Budget,
    model::{Model, table},
    parts::{PreTokenizer, Split},
    pattern::{Pattern, Source},
};
use crate::{
    byte_chars::byte_chars,
    cut::{Cutter, GPT2},
};

/// A longer piece is merged by the crate, in a time that does not grow with the square of its length.
const LONGEST: usize = 256;
/// Bytes and ids of a piece that is kept.
const KEPT_BYTES: usize = 24;
const KEPT_IDS: usize = 5;
/// Pieces that are kept, each at the place that its hash names.
const KEPT: usize = 1 << 15;
/// No pair.
const NONE: u32 = u32::MAX;

/// Pairs of ids: rank and id of the pair merged.
pub(super) type Merges = HashMap<(u32, u32), (u32, u32), RandomState>;

/// How a text is cut.
#[derive(Clone)]
enum Cut {
    Hand(Cutter),
    Regex(Pattern),
}

/// A tokenizer.json that is byte-level BPE and nothing else.
pub(crate) struct ByteBpe {
    cut: Cut,
    /// The ids of the bytes, and their characters.
    bytes: [u32; 256],
    chars: [char; 256],
    merges: Merges,
    model: Arc<BPE>,
    /// A piece that is in the vocabulary is not merged.
    whole: bool,
    /// One for each thread that encodes.
    caches: Mutex<Vec<Cache>>,
}

impl fmt::Debug for ByteBpe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteBpe").field("merges", &self.merges.len()).finish_non_exhaustive()
    }
}

/// Pieces seen of late and their ids.
struct Cache {
    kept: Vec<Kept>,
    hash: RandomState,
    /// Of the piece at hand, each symbol's id, and rank and id of its pair with the next.
    symbols: Vec<[u32; 3]>,
}

#[derive(Clone, Copy, Default)]
struct Kept {
    key: [u8; KEPT_BYTES],
    bytes: u8,
    count: u8,
    ids: [u32; KEPT_IDS],
}

impl Cut {
    /// Where a pre-tokeniser is a cut and then bytes.
    fn of(pre_tokenizer: &PreTokenizer) -> Option<Self> {
        let bytes = |part: &PreTokenizer, regex: bool| match part {
            PreTokenizer::Other(PreTokenizerWrapper::ByteLevel(b)) => {
                !b.add_prefix_space && b.use_regex == regex
            }
            _ => false,
        };
        if bytes(pre_tokenizer, true) {
            return Cutter::of(GPT2).map(Self::Hand);
        }
        let PreTokenizer::Sequence { pretokenizers, .. } = pre_tokenizer else { return None };
        let [PreTokenizer::Split(split), last] = &pretokenizers[..] else { return None };
        let Split { pattern, behavior, invert: false, compiled, .. } = split else { return None };
        if *behavior != SplitDelimiterBehavior::Isolated || !bytes(last, false) {
            return None;
        }
        Some(match pattern {
            Source::Regex(text) => match Cutter::of(text) {
                Some(cutter) => Self::Hand(cutter),
                None => Self::Regex(compiled.clone()),
            },
            Source::String(_) => Self::Regex(compiled.clone()),
        })
    }
}

impl ByteBpe {
    /// Of a model and what is before it; `None` where ids may come from elsewhere too, or where there
    /// is no memory left for it. `json` is the model's part of the file.
    pub(super) fn new(
        model: &Model,
        json: &str,
        pre_tokenizer: Option<&PreTokenizer>,
        budget: &mut Budget,
    ) -> Result<Option<Self>> {
        let (Model::Bpe(model), Some(cut)) = (model, pre_tokenizer.and_then(Cut::of)) else {
            return Ok(None);
        };
        let affix = |affix: &Option<String>| affix.as_ref().is_none_or(String::is_empty);
        if model.dropout.is_some_and(|p| p != 0.0)
            || !affix(&model.continuing_subword_prefix)
            || !affix(&model.end_of_word_suffix)
        {
            return Ok(None);
        }
        let chars = byte_chars();
        let mut bytes = [0; 256];
        let mut buffer = [0; 4];
        for (id, c) in bytes.iter_mut().zip(chars) {
            match model.token_to_id(c.encode_utf8(&mut buffer)) {
                Some(found) => *id = found,
                // Such a byte would be the unknown token, or nothing.
                None => return Ok(None),
            }
        }
        let mut count = 0;
        super::model::merges(json, |_, _| count += 1)?;
        let size = table(count, size_of::<((u32, u32), (u32, u32))>());
        if !budget.spare(size + KEPT * size_of::<Kept>()) {
            return Ok(None);
        }
        let mut merges = Merges::with_capacity_and_hasher(count, RandomState::new());
        let (mut rank, mut joined) = (0, String::new());
        super::model::merges(json, |a, b| {
            joined.clear();
            joined.extend([a, b]);
            let [a, b, new] = [a, b, &joined].map(|t| model.token_to_id(t));
            if let (Some(a), Some(b), Some(new)) = (a, b, new) {
                merges.insert((a, b), (rank, new));
            }
            rank += 1;
        })?;
        let (model, whole) = (model.clone(), model.ignore_merges);
        Ok(Some(Self { cut, bytes, chars, merges, model, whole, caches: Mutex::default() }))
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// Those of the pattern, where it is not one that we cut by hand.
    pub(crate) fn encode(&self, text: &str) -> tokenizers::Result<Vec<u32>> {
        let caches = || self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cache = caches().pop().unwrap_or_else(Cache::new);
        let mut ids = Vec::with_capacity(text.len() / 3);
        let result = match &self.cut {
            Cut::Hand(cutter) => {
                let mut result = Ok(());
                cutter.words(text, |word| {
                    let one = self.word(word, &mut cache, &mut ids);
                    result = std::mem::replace(&mut result, Ok(())).and(one);
                });
                result
            }
            Cut::Regex(pattern) => pattern.find_matches(text).and_then(|pieces| {
                let mut words = pieces.into_iter().map(|((a, b), _)| &text[a..b]);
                words.try_for_each(|word| self.word(word, &mut cache, &mut ids))
            }),
        };
        caches().push(cache);
        result.map(|()| ids)
    }

    /// Adds the ids of a piece.
    #[inline]
    fn word(&self, word: &str, cache: &mut Cache, out: &mut Vec<u32>) -> tokenizers::Result<()> {
        let bytes = word.as_bytes();
        let Some(key) = key(bytes) else { return self.fresh(word, &mut cache.symbols, out) };
        let at = cache.hash.hash_one(key) as usize % KEPT;
        let kept = &cache.kept[at];
        if kept.key == key && usize::from(kept.bytes) == bytes.len() {
            out.extend(&kept.ids[..usize::from(kept.count)]);
            return Ok(());
        }
        let before = out.len();
        self.fresh(word, &mut cache.symbols, out)?;
        let ids = &out[before..];
        if ids.len() <= KEPT_IDS {
            let mut kept =
                Kept { key, bytes: bytes.len() as u8, count: ids.len() as u8, ids: [0; KEPT_IDS] };
            kept.ids[..ids.len()].copy_from_slice(ids);
            cache.kept[at] = kept;
        }
        Ok(())
    }

    /// Adds the ids of a piece that was not seen of late.
    fn fresh(
        &self,
        word: &str,
        symbols: &mut Vec<[u32; 3]>,
        out: &mut Vec<u32>,
    ) -> tokenizers::Result<()> {
        if word.len() > LONGEST || self.whole {
            let mapped: String = word.bytes().map(|b| self.chars[usize::from(b)]).collect();
            if word.len() > LONGEST {
                out.extend(self.model.tokenize(&mapped)?.into_iter().map(|t| t.id));
                return Ok(());
            }
            if let Some(id) = self.model.token_to_id(&mapped) {
                out.push(id);
                return Ok(());
            }
        }
        let pair = |a: u32, b: u32| self.merges.get(&(a, b)).copied().unwrap_or((NONE, NONE));
        symbols.clear();
        symbols.extend(word.bytes().map(|b| [self.bytes[usize::from(b)], NONE, NONE]));
        for i in 1..symbols.len() {
            (symbols[i - 1][1], symbols[i - 1][2]) = pair(symbols[i - 1][0], symbols[i][0]);
        }
        loop {
            let (mut at, mut lowest) = (0, NONE);
            for (i, symbol) in symbols.iter().enumerate() {
                if symbol[1] < lowest {
                    (at, lowest) = (i, symbol[1]);
                }
            }
            if lowest == NONE {
                break;
            }
            symbols[at][0] = symbols[at][2];
            symbols.remove(at + 1);
            for i in at.saturating_sub(1)..=at {
                let next = symbols.get(i + 1).map(|s| s[0]);
                (symbols[i][1], symbols[i][2]) =
                    next.map_or((NONE, NONE), |next| pair(symbols[i][0], next));
            }
        }
        out.extend(symbols.iter().map(|s| s[0]));
        Ok(())
    }
}

impl Cache {
    fn new() -> Self {
        Self {
            kept: vec![Kept::default(); KEPT],
            hash: RandomState::new(),
            symbols: Vec::with_capacity(LONGEST),
        }
    }
}

/// A short piece with zeros behind it.
#[inline]
fn key(bytes: &[u8]) -> Option<[u8; KEPT_BYTES]> {
    let mut key = [0; KEPT_BYTES];
    key.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(key)
}
