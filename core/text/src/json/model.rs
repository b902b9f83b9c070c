//! The part of a tokenizer.json that holds the vocabulary.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use athanor_store::{Error, Result};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use tokenizers::{
    AddedToken, Token, Trainer,
    models::{
        bpe::{BPE, Merges, Vocab},
        wordlevel::WordLevel,
        wordpiece::WordPiece,
    },
};

use super::{budget::Budget, unigram::Unigram, vocabulary};

/// Bytes of a token: what a text decodes to grows with it.
const LONGEST: usize = 4096;
/// Bytes of a prefix, a suffix, the name of the unknown token: put before each piece in turn.
const LONGEST_AFFIX: usize = 256;
/// WordPiece takes time that grows with the cube of a word's length; BERT's 100 is what all have.
const LONGEST_WORD: usize = 1000;

/// A vocabulary, shared between the tokenisers that use it.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    Bpe(Arc<BPE>),
    WordPiece(Arc<WordPiece>),
    WordLevel(Arc<WordLevel>),
    Unigram(Unigram),
}

#[derive(Deserialize)]
struct File<'a> {
    r#type: Option<String>,
    unk_token: Option<String>,
    unk_id: Option<usize>,
    dropout: Option<f32>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    fuse_unk: Option<bool>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
    max_input_chars_per_word: Option<usize>,
    #[serde(borrow)]
    vocab: Option<&'a RawValue>,
    #[serde(borrow)]
    merges: Option<&'a RawValue>,
}

impl Model {
    /// From the file's text; and what all its ids are below.
    pub(super) fn read(json: &str, budget: &mut Budget) -> Result<(Self, usize)> {
        let file: File = serde_json::from_str(json).map_err(Error::input)?;
        let vocab = file.vocab.ok_or_else(|| Error::input("no `vocab`"))?.get();
        for (name, text) in [
            ("bytes of `unk_token`", &file.unk_token),
            ("bytes of `continuing_subword_prefix`", &file.continuing_subword_prefix),
            ("bytes of `end_of_word_suffix`", &file.end_of_word_suffix),
        ] {
            budget.limit(name, text.as_ref().map_or(0, String::len), LONGEST_AFFIX)?;
        }
        // Files from before 2020 have no type; it follows from the fields, as in the tokenizers crate.
        let kind = file.r#type.as_deref().unwrap_or(match &file {
            File { merges: Some(_), .. } => "BPE",
            File { max_input_chars_per_word: Some(_), .. } => "WordPiece",
            File { unk_token: Some(_), .. } => "WordLevel",
            _ => "Unigram",
        });
        let fail = |e: tokenizers::Error| Error::input(format!("not one that we can read: {e}"));
        let unknown = || {
            file.unk_token
                .clone()
                .ok_or_else(|| Error::input(format!("{kind} without `unk_token`")))
        };
        let mut limit = 0;
        let mut tokens = |budget: &mut Budget| -> Result<Vocab> {
            let (vocab, largest) = tokens(vocab, budget)?;
            limit = largest + 1;
            Ok(vocab)
        };
        let model = match kind {
            "BPE" => bpe(&file, tokens(budget)?, budget)?,
            "WordPiece" => {
                let longest = file.max_input_chars_per_word.unwrap_or(100);
                budget.limit("`max_input_chars_per_word`", longest, LONGEST_WORD)?;
                let prefix = (file.continuing_subword_prefix.clone())
                    .ok_or_else(|| Error::input("no `continuing_subword_prefix`"))?;
                let model = WordPiece::builder()
                    .unk_token(unknown()?)
                    .continuing_subword_prefix(prefix)
                    .max_input_chars_per_word(longest)
                    .vocab(tokens(budget)?)
                    .build();
                Self::WordPiece(Arc::new(model.map_err(fail)?))
            }
            "WordLevel" => {
                let builder = WordLevel::builder().unk_token(unknown()?);
                let model = builder.vocab(tokens(budget)?).build();
                Self::WordLevel(Arc::new(model.map_err(fail)?))
            }
            "Unigram" => {
                let fallback = file.byte_fallback.unwrap_or(false);
                let model = Unigram::read(vocab, file.unk_id, fallback, budget)?;
                limit = model.len();
                Self::Unigram(model)
            }
            other => {
                return Err(Error::input(format!("a model of type {other:?}"))
                    .hint("known: BPE, WordPiece, WordLevel, Unigram"));
            }
        };
        Ok((model, limit))
    }

    /// The same, except that these tokens are found in no text. Only a Unigram model finds its special
    /// tokens by itself.
    pub(super) fn without(&self, tokens: &[&str]) -> Self {
        match self {
            Self::Unigram(model) => Self::Unigram(model.without(tokens)),
            other => other.clone(),
        }
    }
}

/// What a hash table of `count` entries of `size` bytes takes, the byte that marks each included; at
/// most seven of eight places are taken, and their number is a power of two.
pub(super) fn table(count: usize, size: usize) -> usize {
    (count * 8 / 7 + 4).next_power_of_two() * (size + 1)
}

/// A map of tokens to ids, and the largest id.
fn tokens(json: &str, budget: &mut Budget) -> Result<(Vocab, usize)> {
    let bad = |e: serde_json::Error| Error::input(format!("bad vocabulary: {e}"));
    let lengths = vocabulary::map_lengths(json).map_err(bad)?;
    budget.limit("bytes of a token", lengths.longest, LONGEST)?;
    let most = 4 * lengths.count as u64 + (1 << 16);
    if lengths.largest_id >= most {
        return Err(Error::input(format!(
            "token id {} in a vocabulary of {}: ids up to {} are read",
            lengths.largest_id,
            lengths.count,
            most - 1
        )));
    }
    // There and back.
    let size = size_of::<(String, u32)>();
    budget.take("the vocabulary", 2 * (table(lengths.count, size) + lengths.bytes))?;
    let mut vocab = Vocab::with_capacity(lengths.count);
    vocabulary::entries(json, |token, id| {
        vocab.insert(token.to_owned(), id as u32);
    })
    .map_err(bad)?;
    Ok((vocab, lengths.largest_id as usize))
}

/// Calls back with each merge of a model's part of a file.
pub(super) fn merges(json: &str, each: impl FnMut(&str, &str)) -> Result<()> {
    let file: File = serde_json::from_str(json).map_err(Error::input)?;
    let Some(merges) = file.merges else { return Ok(()) };
    vocabulary::merges(merges.get(), each).map_err(|e| Error::input(format!("bad merges: {e}")))
}

fn bpe(file: &File, vocab: Vocab, budget: &mut Budget) -> Result<Model> {
    let bad = |e: serde_json::Error| Error::input(format!("bad merges: {e}"));
    let json = file.merges.ok_or_else(|| Error::input("no `merges`"))?.get();
    let prefix = file.continuing_subword_prefix.as_deref().unwrap_or("");
    let (mut count, mut bytes) = (0, 0);
    let mut wrong = None;
    let mut joined = String::new();
    // The crate takes for granted what is checked here.
    vocabulary::merges(json, |a, b| {
        count += 1;
        bytes += a.len() + b.len();
        joined.clear();
        joined.push_str(a);
        // A token shorter than the prefix continues no word, so no merge makes it.
        let behind = b.get(prefix.len()..);
        joined.push_str(behind.unwrap_or(b));
        let all = [Some(a), behind.and(Some(b)), Some(joined.as_str())];
        let missing = all.into_iter().find(|t| t.is_none_or(|t| !vocab.contains_key(t)));
        let missing = missing.map(|t| t.unwrap_or(b));
        if let Some(missing) = missing.filter(|_| wrong.is_none()) {
            let missing: String = missing.chars().take(60).collect();
            let what = format!("merge {count}: the vocabulary has no token {missing:?}");
            wrong = Some(Error::input(what));
        }
    })
    .map_err(bad)?;
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    // The table doubles while it grows.
    budget.take("the merges", table(count, size_of::<((u32, u32), (u32, u32))>()) * 3 / 2)?;
    let passing = count * size_of::<(String, String)>() + bytes;
    budget.take("the merges", passing)?;
    let mut merges = Merges::with_capacity(count);
    vocabulary::merges(json, |a, b| merges.push((a.to_owned(), b.to_owned()))).map_err(bad)?;
    let mut builder = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .fuse_unk(file.fuse_unk.unwrap_or(false))
        .byte_fallback(file.byte_fallback.unwrap_or(false))
        .ignore_merges(file.ignore_merges.unwrap_or(false));
    if let Some(dropout) = file.dropout {
        builder = builder.dropout(dropout);
    }
    if let Some(token) = &file.unk_token {
        builder = builder.unk_token(token.clone());
    }
    if let Some(prefix) = &file.continuing_subword_prefix {
        builder = builder.continuing_subword_prefix(prefix.clone());
    }
    if let Some(suffix) = &file.end_of_word_suffix {
        builder = builder.end_of_word_suffix(suffix.clone());
    }
    let model =
        builder.build().map_err(|e| Error::input(format!("not one that we can read: {e}")))?;
    budget.give(passing);
    Ok(Model::Bpe(Arc::new(model)))
}

/// Calls a method of whichever model it is.
macro_rules! each {
    ($self:expr, $model:ident => $call:expr) => {
        match $self {
            Model::Bpe($model) => $call,
            Model::WordPiece($model) => $call,
            Model::WordLevel($model) => $call,
            Model::Unigram($model) => $call,
        }
    };
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Bpe(m) => m.serialize(serializer),
            Self::WordPiece(m) => m.serialize(serializer),
            Self::WordLevel(m) => m.serialize(serializer),
            Self::Unigram(m) => m.serialize(serializer),
        }
    }
}

impl tokenizers::Model for Model {
    type Trainer = Untrained;

    fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        each!(self, m => m.tokenize(word))
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Self::Unigram(m) => m.id(token),
            Self::Bpe(m) => m.token_to_id(token),
            Self::WordPiece(m) => m.token_to_id(token),
            Self::WordLevel(m) => m.token_to_id(token),
        }
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        match self {
            Self::Unigram(m) => m.piece(id).map(String::from),
            Self::Bpe(m) => m.id_to_token(id),
            Self::WordPiece(m) => m.id_to_token(id),
            Self::WordLevel(m) => m.id_to_token(id),
        }
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        match self {
            Self::Unigram(m) => {
                (0..m.len() as u32).filter_map(|id| Some((m.piece(id)?.to_owned(), id))).collect()
            }
            Self::Bpe(m) => m.get_vocab(),
            Self::WordPiece(m) => m.get_vocab(),
            Self::WordLevel(m) => m.get_vocab(),
        }
    }

    fn get_vocab_size(&self) -> usize {
        match self {
            Self::Unigram(m) => m.len(),
            Self::Bpe(m) => m.get_vocab_size(),
            Self::WordPiece(m) => m.get_vocab_size(),
            Self::WordLevel(m) => m.get_vocab_size(),
        }
    }

    fn save(&self, _folder: &Path, _prefix: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("a vocabulary is saved within its tokenizer.json".into())
    }

    fn get_trainer(&self) -> Untrained {
        Untrained
    }
}

/// Models are read, not trained: train/ does that.
#[derive(Debug)]
pub(crate) struct Untrained;

impl Trainer for Untrained {
    type Model = Model;

    fn should_show_progress(&self) -> bool {
        false
    }

    fn train(&self, _: &mut Model) -> tokenizers::Result<Vec<AddedToken>> {
        Err("not trained here".into())
    }

    fn feed<I, S, F>(&mut self, _: I, _: F) -> tokenizers::Result<()>
    where
        I: Iterator<Item = S> + Send,
        S: AsRef<str> + Send,
        F: Fn(&str) -> tokenizers::Result<Vec<String>> + Sync,
    {
        Err("not trained here".into())
    }
}
