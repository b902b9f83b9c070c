//! Training tokenisers: an algorithm is one file here and one line in [`ALGORITHMS`].
//!
//! Ours rather than the `tokenizers` crate's, which walk hash maps with random seeds, so that ties
//! may fall differently from run to run, and add in the order of threads. Here the result depends
//! on the texts alone.

mod bpe;
mod unigram;
mod wordpiece;

use std::collections::HashMap;

use athanor_store::{Error, Registry, Result};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

pub use unigram::Segmenter;

use crate::{SpecialTokens, Tokenizer, special::SPECIAL_SETS, split::line_cut};

/// No token is longer than this: keeps rows of dashes and copied sentences out of the vocabulary.
const MAX_TOKEN_BYTES: usize = 32;
/// Texts are counted in parallel in batches of about this many bytes.
const BATCH_BYTES: usize = 16 << 20;
/// Long texts are cut here and there, because offsets take many times the text's memory.
const PIECE: usize = 1 << 16;
/// Share of all characters that the alphabet covers; SentencePiece's `character_coverage`.
const COVERAGE: f64 = 0.9995;

/// How a tokeniser is trained.
#[derive(Clone, Debug)]
pub struct Training {
    /// Tokens of the vocabulary, the special ones included.
    pub vocab_size: usize,
    /// Lower-case the text and strip accents (WordPiece and Unigram).
    pub lowercase: bool,
    /// The special tokens.
    pub specials: SpecialTokens,
}

/// Texts to train on.
pub type Texts<'a> = &'a mut dyn Iterator<Item = String>;

/// An algorithm that makes a vocabulary.
pub struct Algorithm {
    /// Its name in a recipe.
    pub name: &'static str,
    /// Whose models use it.
    pub about: &'static str,
    /// Names of the sets of special tokens that its models use, the usual one first.
    pub specials: &'static [&'static str],
    train: fn(Texts<'_>, &Training) -> Result<Tokenizer>,
}

/// All algorithms.
pub static ALGORITHMS: Registry<Algorithm> =
    Registry::new("kind of tokeniser", &[bpe::ALGORITHM, wordpiece::ALGORITHM, unigram::ALGORITHM]);

athanor_store::registered!(Algorithm, ALGORITHMS);

impl Algorithm {
    /// A set of special tokens by name; the algorithm's usual one for an empty name.
    ///
    /// # Errors
    /// Input, for a set that its models do not use.
    pub fn specials(&self, name: &str) -> Result<SpecialTokens> {
        let wanted = if name.is_empty() { self.specials[0] } else { name };
        let fits = self.specials.contains(&wanted);
        SPECIAL_SETS.iter().find(|s| fits && s.name == wanted).map(|s| (s.tokens)()).ok_or_else(
            || {
                Error::input(format!("no special tokens {name:?} for {}", self.name))
                    .hint(format!("known: {}", self.specials.join(", ")))
            },
        )
    }

    /// Trains on `texts`. The result depends on the texts alone, not on their order nor on the
    /// number of threads. It has fewer tokens than asked for if the texts have too few.
    ///
    /// # Errors
    /// Input, if the vocabulary is too small or the texts are empty.
    pub fn train(&self, texts: Texts<'_>, training: &Training) -> Result<Tokenizer> {
        (self.train)(texts, training)
    }
}

/// How often each word occurs, sorted by word; `split` cuts a text into words.
fn count_words<I, F>(texts: I, split: F) -> Result<Vec<(Box<str>, u64)>>
where
    I: IntoIterator,
    I::Item: AsRef<str> + Sync + Send,
    F: Fn(&str, &mut dyn FnMut(&str)) -> Result<()> + Sync,
{
    let mut total: HashMap<Box<str>, u64> = HashMap::new();
    let mut flush = |batch: &mut Vec<I::Item>| -> Result<()> {
        let parts: Vec<Result<HashMap<Box<str>, u64>>> = batch
            .par_iter()
            .map(|text| {
                let mut counts = HashMap::new();
                let mut rest = text.as_ref();
                while !rest.is_empty() {
                    let (piece, tail) = rest.split_at(line_cut(rest, PIECE));
                    split(piece, &mut |w| {
                        if w.is_empty() {
                        } else if let Some(n) = counts.get_mut(w) {
                            *n += 1;
                        } else {
                            counts.insert(w.into(), 1);
                        }
                    })?;
                    rest = tail;
                }
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
    if total.is_empty() {
        return Err(Error::input("no text to train a tokeniser on"));
    }
    // Sorted, so that nothing below sees the hash map's order.
    let mut words: Vec<_> = total.into_iter().collect();
    words.sort_unstable();
    Ok(words)
}

/// The commonest symbols that together make up [`COVERAGE`] of all, at most `most`; sorted.
fn alphabet<T: Ord + Clone>(counts: HashMap<T, u64>, most: usize) -> Vec<T> {
    let all: u64 = counts.values().sum();
    let mut sorted: Vec<(T, u64)> = counts.into_iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut covered = 0;
    let enough = (all as f64 * COVERAGE) as u64;
    let mut taken: Vec<T> = sorted
        .into_iter()
        .take(most)
        .take_while(|(_, n)| {
            let more = covered < enough;
            covered += n;
            more
        })
        .map(|(symbol, _)| symbol)
        .collect();
    taken.sort();
    taken
}

/// # Errors
/// Input, if a vocabulary has no room for its special tokens and an alphabet of `least`.
fn check_size(training: &Training, least: usize, alphabet: &str) -> Result<()> {
    let (size, specials) = (training.vocab_size, training.specials.tokens.len());
    let base = specials + least;
    if size >= base && u32::try_from(size).is_ok() {
        return Ok(());
    }
    Err(Error::input(format!(
        "a vocabulary of {size} tokens; at least {base} are needed, for {alphabet} and {specials} \
         special tokens"
    ))
    .hint("2000 to 8000 suits a few megabytes of text, 32000 and more a few gigabytes"))
}

/// The special tokens as tokenizer.json's added tokens. A mask that stands for a word with the
/// space before it takes that space.
fn added_tokens(specials: &SpecialTokens, mask_takes_space: bool) -> Vec<Value> {
    (specials.tokens.iter().enumerate())
        .map(|(id, content)| {
            let lstrip = mask_takes_space && specials.mask.as_ref() == Some(content);
            json!({"id": id, "content": content, "single_word": false, "lstrip": lstrip,
                   "rstrip": false, "normalized": false, "special": true})
        })
        .collect()
}

/// A post-processor that puts special tokens around a text (`single`) and two (`pair`): pieces
/// are `A`, `B` or a special token, each with its type id.
fn template(specials: &SpecialTokens, single: &[(&str, u32)], pair: &[(&str, u32)]) -> Value {
    let pieces = |of: &[(&str, u32)]| -> Vec<Value> {
        of.iter()
            .map(|&(id, type_id)| match id {
                "A" | "B" => json!({"Sequence": {"id": id, "type_id": type_id}}),
                _ => json!({"SpecialToken": {"id": id, "type_id": type_id}}),
            })
            .collect()
    };
    let mut tokens = Map::new();
    for &(token, _) in single.iter().chain(pair) {
        if let Some(id) = specials.tokens.iter().position(|t| t == token) {
            tokens.insert(token.into(), json!({"id": token, "ids": [id], "tokens": [token]}));
        }
    }
    json!({"type": "TemplateProcessing", "single": pieces(single), "pair": pieces(pair),
           "special_tokens": tokens})
}

/// tokenizer_config.json's keys beside the special tokens.
fn config(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alphabet_covers_what_is_common() {
        let counts = HashMap::from([('a', 6000), ('b', 3998), ('c', 1), ('d', 1)]);
        assert_eq!(alphabet(counts.clone(), 10), ['a', 'b']);
        assert_eq!(alphabet(counts, 1), ['a']);
    }

    #[test]
    fn sets_of_special_tokens_fit_their_algorithm() {
        let wordpiece = ALGORITHMS.find("wordpiece").unwrap();
        assert_eq!(wordpiece.specials("").unwrap().cls.as_deref(), Some("[CLS]"));
        assert!(wordpiece.specials("xlnet").unwrap_err().to_string().contains("known: bert"));
        assert!(ALGORITHMS.find("bpe").is_err());
    }
}
