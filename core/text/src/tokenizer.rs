//! A tokeniser in Hugging Face's format: text to token ids and back.

use std::sync::Arc;

use athanor_store::{Error, Result};
use rayon::prelude::*;
use serde_json::{Map, Value};
use tokenizers::{AddedToken, Encoding};

use crate::{
    SpecialTokens,
    json::{self, ByteBpe, Inner, Model},
};

/// A tokeniser: tokenizer.json with the settings that stand beside it.
///
/// Cheap to share between threads (`&Tokenizer` is `Sync`).
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// Leaves special tokens in a text alone: they are plain text.
    plain: Inner,
    /// Reads special tokens in a text as such.
    parsing: Inner,
    /// As `plain`, for ids alone.
    fast: Option<Arc<ByteBpe>>,
    id_limit: usize,
    specials: SpecialTokens,
    /// tokenizer_config.json, keys that we do not know included.
    config: Map<String, Value>,
}

/// A text, or a pair of texts, as a model such as BERT takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelInput {
    /// Token ids, with the special tokens that the tokeniser puts around and between the texts.
    pub ids: Vec<u32>,
    /// 0 for the first text, 1 for the second (BERT's token_type_ids).
    pub types: Vec<u32>,
    /// Bytes of its text that each token stands for; (0, 0) for special tokens.
    pub offsets: Vec<(usize, usize)>,
    /// Which text a token is from: 0, 1, or none for special tokens.
    pub sequence: Vec<Option<usize>>,
}

/// How a vocabulary writes where words begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// A character of a token stands for a byte; `Ġ` is a space, so what lacks it goes on a word.
    Bytes,
    /// `##` goes on a word; spaces are not written.
    WordPiece,
    /// `▁` is a space, so what lacks it goes on a word.
    Metaspace,
}

impl ModelInput {
    /// Drops tokens of the text from its end until `longest` are left; special tokens behind it stay.
    pub fn truncate(&mut self, longest: usize) {
        let Some(extra) = self.ids.len().checked_sub(longest).filter(|&n| n > 0) else { return };
        let tail = self.sequence.iter().rev().take_while(|s| s.is_none()).count();
        let end = self.ids.len() - tail;
        let cut = end.saturating_sub(extra)..end;
        self.ids.drain(cut.clone());
        self.types.drain(cut.clone());
        self.offsets.drain(cut.clone());
        self.sequence.drain(cut);
    }

    /// Drops tokens from the ends of the texts until `longest` are left: of the longer text first, then
    /// of both (transformers' `longest_first`). Special tokens stay.
    pub fn truncate_longest_first(&mut self, longest: usize) {
        let count = |n: usize| self.sequence.iter().filter(|s| **s == Some(n)).count();
        let counts = [count(0), count(1)];
        let room = longest.saturating_sub(self.ids.len() - counts[0] - counts[1]);
        let (short, long) = (counts[0].min(counts[1]), counts[0].max(counts[1]));
        let (short, long) = match () {
            () if short + long <= room => return,
            () if short + short.max(room.saturating_sub(short)) <= room => (short, room - short),
            () => (room / 2, room - room / 2),
        };
        let mut left = if counts[0] <= counts[1] { [short, long] } else { [long, short] };
        let keep: Vec<bool> = self
            .sequence
            .iter()
            .map(|sequence| match sequence {
                None => true,
                Some(n) => {
                    let keep = left[*n] > 0;
                    left[*n] -= usize::from(keep);
                    keep
                }
            })
            .collect();
        fn retain<T: Copy>(values: &mut Vec<T>, keep: &[bool]) {
            let mut kept = keep.iter();
            values.retain(|_| kept.next().is_none_or(|k| *k));
        }
        retain(&mut self.ids, &keep);
        retain(&mut self.types, &keep);
        retain(&mut self.offsets, &keep);
        retain(&mut self.sequence, &keep);
    }
}

impl Tokenizer {
    /// From the content of a tokenizer.json.
    pub(crate) fn from_json(
        json: &Value,
        specials: &SpecialTokens,
        config: Map<String, Value>,
    ) -> Result<Self> {
        Self::from_text(&json.to_string(), specials.clone(), config)
    }

    pub(crate) fn from_text(
        text: &str,
        specials: SpecialTokens,
        config: Map<String, Value>,
    ) -> Result<Self> {
        let json::Read { plain, parsing, fast, id_limit } = json::read(text)?;
        Ok(Self { plain, parsing, fast: fast.map(Arc::new), id_limit, specials, config })
    }

    /// The content of tokenizer.json: the same bytes for the same tokeniser.
    ///
    /// # Errors
    /// Failed, if the tokeniser cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        self.parsing.to_string(true).map_err(|e| Error::failed(format!("tokenizer.json: {e}")))
    }

    /// [`to_json`](Self::to_json) without holding it.
    pub(crate) fn write_json(&self, out: &mut dyn std::io::Write) -> Result<()> {
        serde_json::to_writer_pretty(out, &self.parsing).map_err(Error::failed)
    }

    /// Token ids of `text`. Special tokens are neither added nor read from the text: `<|end|>` in
    /// a text is seven characters.
    ///
    /// # Errors
    /// Input, where the tokeniser cannot take the text (no token for a character and no unknown
    /// token; a run of a million spaces).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match &self.fast {
            Some(fast) => fast.encode(text).map_err(unencodable),
            None => ids(&self.plain, text),
        }
    }

    /// Token ids of `text`, special tokens in it read as such; none is added.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_with_specials(&self, text: &str) -> Result<Vec<u32>> {
        ids(&self.parsing, text)
    }

    /// [`encode`](Self::encode) of many texts on all cores, in their order.
    ///
    /// # Errors
    /// As [`encode`](Self::encode): that of the first text that fails.
    pub fn encode_batch<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Vec<u32>>> {
        texts.par_iter().map(|t| self.encode(t.as_ref())).collect()
    }

    /// A text or a pair with the special tokens that this tokeniser's model expects around them
    /// (`[CLS] a [SEP] b [SEP]` for BERT; none for ours). The texts' own bytes stay plain text.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_input(&self, text: &str, pair: Option<&str>) -> Result<ModelInput> {
        input(&self.plain, text, pair)
    }

    /// [`encode_input`](Self::encode_input), special tokens in the texts read as such: `[MASK]`.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_input_with_specials(&self, text: &str, pair: Option<&str>) -> Result<ModelInput> {
        input(&self.parsing, text, pair)
    }

    /// Ids of `text` with special tokens read, and the bytes of `text` that each stands for.
    pub(crate) fn encode_offsets(&self, text: &str) -> Result<Vec<(u32, usize, usize)>> {
        offsets(&self.parsing, text)
    }

    /// [`encode`](Self::encode) with the bytes of `text` that each token stands for.
    pub(crate) fn encode_plain_offsets(&self, text: &str) -> Result<Vec<(u32, usize, usize)>> {
        offsets(&self.plain, text)
    }

    /// The text of `ids`, special tokens left out.
    ///
    /// # Errors
    /// Failed, if the decoder refuses them. An id outside the vocabulary is left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.parsing.decode(ids, true).map_err(|e| Error::failed(format!("cannot decode: {e}")))
    }

    /// The text of `ids`, special tokens written out.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_with_specials(&self, ids: &[u32]) -> Result<String> {
        self.parsing.decode(ids, false).map_err(|e| Error::failed(format!("cannot decode: {e}")))
    }

    /// The number of tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.parsing.get_vocab_size(true)
    }

    /// All ids are below this: more than [`vocab_size`](Self::vocab_size) where the vocabulary has holes.
    pub fn id_limit(&self) -> usize {
        self.id_limit
    }

    /// The id of a token, by its text in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.parsing.token_to_id(token)
    }

    /// The vocabulary's text for an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.parsing.id_to_token(id)
    }

    /// The id of a token that must be there.
    ///
    /// # Errors
    /// Input, naming the token.
    pub fn require(&self, token: &str) -> Result<u32> {
        self.id(token).ok_or_else(|| {
            Error::input(format!("the tokeniser has no token {token}"))
                .hint("chats need a tokeniser with the tokens that the chat template writes")
        })
    }

    /// The special tokens and their parts.
    pub fn specials(&self) -> &SpecialTokens {
        &self.specials
    }

    /// The token that stands for a word to be guessed, and its id: what tokenizer_config.json calls
    /// `mask_token`, else `[MASK]` or `<mask>`.
    pub fn mask(&self) -> Option<(String, u32)> {
        let named = self.config.get("mask_token");
        let named = named.and_then(|v| v.as_str().or_else(|| v.get("content")?.as_str()));
        let all = named.into_iter().chain(["[MASK]", "<mask>"]);
        all.filter_map(|t| Some((t.to_owned(), self.id(t)?))).next()
    }

    /// The most tokens that tokenizer_config.json says its model takes, if it says so.
    pub fn longest(&self) -> Option<usize> {
        let value = self.config.get("model_max_length")?;
        // Huge numbers mean "not said".
        value.as_u64().filter(|&n| n > 0 && n < 1 << 30).map(|n| n as usize)
    }

    /// The same tokeniser with another token that ends generation: a chat model's is `<|end|>`.
    ///
    /// # Errors
    /// Input, if there is no such token.
    pub fn with_eos(mut self, token: &str) -> Result<Self> {
        self.require(token)?;
        self.specials.eos = Some(token.into());
        Ok(self)
    }

    /// The id that closes a document: that of a stream of documents where the tokeniser has one, else
    /// the end of a text, else what separates two.
    pub fn document_end_id(&self) -> Option<u32> {
        [SpecialTokens::END_OF_TEXT, SpecialTokens::END_OF_DOCUMENT]
            .into_iter()
            .find_map(|t| self.id(t))
            .or_else(|| self.eos_id())
            .or_else(|| self.sep_id())
    }

    /// How this tokeniser writes what goes on a word, and spaces.
    pub fn marks(&self) -> Marks {
        match self.parsing.get_model() {
            Model::WordPiece(_) => Marks::WordPiece,
            Model::Unigram(_) => Marks::Metaspace,
            _ => Marks::Bytes,
        }
    }

    /// Whether an id is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.token(id).is_some_and(|t| self.specials.tokens.contains(&t))
    }

    /// With all special added tokens named, in the order of their ids.
    pub(crate) fn with_added_specials(mut self) -> Self {
        let mut added = self.special_added();
        added.sort_by_key(|(id, _)| *id);
        self.specials.tokens = added.into_iter().map(|(_, t)| t.content).collect();
        self
    }

    /// The special added tokens, longest first.
    pub(crate) fn special_added(&self) -> Vec<(u32, AddedToken)> {
        let decoder = self.parsing.get_added_vocabulary().get_added_tokens_decoder();
        let special = decoder.iter().filter(|(_, t)| t.special);
        let mut all: Vec<_> = special.map(|(id, t)| (*id, t.clone())).collect();
        all.sort_by(|a, b| (b.1.content.len(), a.0).cmp(&(a.1.content.len(), b.0)));
        all
    }

    pub(crate) fn config(&self) -> &Map<String, Value> {
        &self.config
    }
}

/// The ids of the tokens that play a part.
macro_rules! part_ids {
    ($($(#[$doc:meta])* $name:ident: $part:ident;)*) => {
        impl Tokenizer {
            $($(#[$doc])*
            pub fn $name(&self) -> Option<u32> {
                self.specials.$part.as_deref().and_then(|t| self.id(t))
            })*
        }
    };
}

part_ids! {
    /// The id at which generation stops.
    eos_id: eos;
    /// The id that begins a text.
    bos_id: bos;
    /// The id that fills up a batch.
    pad_id: pad;
    /// The id of the token that hides another one.
    mask_id: mask;
    /// The id that separates two texts.
    sep_id: sep;
    /// The id of the token with the hidden state of the whole input.
    cls_id: cls;
}

fn input(tokenizer: &Inner, text: &str, pair: Option<&str>) -> Result<ModelInput> {
    let encoding = match pair {
        Some(pair) => tokenizer.encode((text, pair), true),
        None => tokenizer.encode(text, true),
    }
    .map_err(unencodable);
    let encoding = normalized(encoding)?;
    let special = encoding.get_special_tokens_mask();
    let sequence = (encoding.get_sequence_ids().into_iter().zip(special))
        .map(|(s, &special)| if special == 1 { None } else { s })
        .collect();
    Ok(ModelInput {
        ids: encoding.get_ids().to_vec(),
        types: encoding.get_type_ids().to_vec(),
        offsets: encoding.get_offsets().to_vec(),
        sequence,
    })
}

fn ids(tokenizer: &Inner, text: &str) -> Result<Vec<u32>> {
    let encoding = normalized(tokenizer.encode_fast(text, false).map_err(unencodable))?;
    Ok(encoding.get_ids().to_vec())
}

fn offsets(tokenizer: &Inner, text: &str) -> Result<Vec<(u32, usize, usize)>> {
    let encoding = normalized(tokenizer.encode(text, false).map_err(unencodable))?;
    let offsets = encoding.get_offsets().iter();
    Ok(encoding.get_ids().iter().zip(offsets).map(|(&id, &(a, b))| (id, a, b)).collect())
}

/// An encoding, unless the text could not be normalised: the crate passes over that.
fn normalized(encoding: Result<Encoding>) -> Result<Encoding> {
    match json::failed() {
        Some(error) => Err(unencodable(error.into())),
        None => encoding,
    }
}

fn unencodable(error: tokenizers::Error) -> Error {
    Error::input(format!("the tokeniser cannot take this text: {error}"))
}
