//! tokenizer.json (Hugging Face's), read within bounds and without trusting it.
//!
//! The tokenizers crate builds a tree of the whole file several times over, compiles whatever regex it
//! finds, and panics where parts do not fit each other. So the file is taken apart here: the vocabulary is
//! streamed into the crate's models (Unigram into one of ours), and each part is looked at before the crate
//! sees it. docs/contracts.md says what is held at most, and what is refused.

mod budget;
mod byte_bpe;
mod charsmap;
mod model;
mod parts;
mod pattern;
mod processor;
mod unigram;
mod vocabulary;

use athanor_store::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokenizers::{AddedToken, PostProcessorWrapper, TokenizerBuilder, TokenizerImpl};

use budget::Budget;
pub(crate) use byte_bpe::ByteBpe;
pub(crate) use model::Model;
pub(crate) use parts::failed;
use parts::{Decoder, Kind, Normalizer, PreTokenizer};
pub(crate) use vocabulary::entries;

/// The crate's tokeniser around our parts.
pub(crate) type Inner =
    TokenizerImpl<Model, Normalizer, PreTokenizer, PostProcessorWrapper, Decoder>;

/// Bytes of an added token's text.
const LONGEST_ADDED: usize = 1024;
/// What an added token takes in two tokenisers: three maps of it and the states of an automaton.
const ADDED_BYTES: usize = 300;
const ADDED_BYTES_A_BYTE: usize = 92;

#[derive(Deserialize)]
struct File<'a> {
    version: Option<String>,
    #[serde(borrow)]
    added_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    normalizer: Option<&'a RawValue>,
    #[serde(borrow)]
    pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow)]
    post_processor: Option<&'a RawValue>,
    #[serde(borrow)]
    decoder: Option<&'a RawValue>,
    #[serde(borrow)]
    model: &'a RawValue,
}

/// What a tokenizer.json says.
pub(crate) struct Read {
    /// Leaves special tokens in a text alone. It shares the vocabulary with `parsing`.
    pub plain: Inner,
    /// Reads special tokens in a text as such.
    pub parsing: Inner,
    /// As `plain`, where it is byte-level BPE.
    pub fast: Option<ByteBpe>,
    /// All ids are below it.
    pub id_limit: usize,
}

/// Truncation and padding are left out: batches are ours to cut and fill, and a saved truncation would
/// silently lose text.
///
/// # Errors
/// Input: what it is not, or which bound it breaks.
pub(crate) fn read(text: &str) -> Result<Read> {
    let file: File = serde_json::from_str(text).map_err(not_one)?;
    if let Some(version) = file.version.filter(|v| v != "1.0") {
        return Err(Error::input(format!("tokenizer.json of version {version:?}, not 1.0")));
    }
    let mut budget = Budget::new(text.len());
    let normalizer = part(file.normalizer, "normalizer", Normalizer::read, &mut budget)?;
    let pre_tokenizer = part(file.pre_tokenizer, "pre_tokenizer", PreTokenizer::read, &mut budget)?;
    let post_processor = part(file.post_processor, "post_processor", processor::read, &mut budget)?;
    let decoder = part(file.decoder, "decoder", Decoder::read, &mut budget)?;
    let added = added(file.added_tokens, &mut budget)?;
    let (model, limit) = Model::read(file.model.get(), &mut budget).map_err(|e| e.at("model"))?;
    // What else may change the ids: a normaliser, tokens found in any text, a template.
    let bytes_only = normalizer.is_none()
        && added.iter().all(|t| t.special)
        && file.post_processor.is_none_or(|p| processor::keeps(p.get()));
    let fast = match bytes_only {
        true => ByteBpe::new(&model, file.model.get(), pre_tokenizer.as_ref(), &mut budget)?,
        false => None,
    };
    let special: Vec<&str> =
        added.iter().filter(|t| t.special).map(|t| t.content.as_str()).collect();
    let hidden = model.without(&special);
    let mut parsing = TokenizerBuilder::new()
        .with_model(model)
        .with_normalizer(normalizer)
        .with_pre_tokenizer(pre_tokenizer)
        .with_post_processor(post_processor)
        .with_decoder(decoder)
        .build()
        .map_err(not_one)?;
    let adding = parsing.add_tokens(added).map_err(not_one);
    // Reported here, not at the next text.
    failed();
    adding?;
    let mut plain: Inner = parsing.clone();
    plain.with_model(hidden);
    plain.set_encode_special_tokens(true);
    let largest = parsing.get_added_vocabulary().get_added_tokens_decoder().keys().max();
    let id_limit = limit.max(largest.map_or(0, |&id| id as usize + 1));
    Ok(Read { plain, parsing, fast, id_limit })
}

fn not_one(error: impl std::fmt::Display) -> Error {
    Error::input(format!("not a tokeniser that we can read: {error}"))
}

/// One of the small parts, `null` and all.
fn part<T>(
    raw: Option<&RawValue>,
    name: &str,
    read: impl FnOnce(&str, &mut Budget) -> Result<T>,
    budget: &mut Budget,
) -> Result<Option<T>> {
    let Some(raw) = raw else { return Ok(None) };
    read(raw.get(), budget).map(Some).map_err(|e| e.at(name))
}

fn added(raw: Option<&RawValue>, budget: &mut Budget) -> Result<Vec<AddedToken>> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let lengths = vocabulary::contents(raw.get()).map_err(|e| not_one(e).at("added_tokens"))?;
    budget.limit("bytes of an added token", lengths.longest, LONGEST_ADDED)?;
    budget.take(
        "the added tokens",
        lengths.count * ADDED_BYTES + lengths.bytes * ADDED_BYTES_A_BYTE,
    )?;
    serde_json::from_str(raw.get()).map_err(|e| not_one(e).at("added_tokens"))
}
