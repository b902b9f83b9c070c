//! Normaliser, pre-tokeniser and decoder: those that a file could make endless are ours, the rest the
//! tokenizers crate's, each handed over alone.

use std::cell::RefCell;

use athanor_store::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokenizers::{
    DecoderWrapper, NormalizedString, NormalizerWrapper, PreTokenizedString, PreTokenizerWrapper,
    SplitDelimiterBehavior,
    tokenizer::pattern::{self, Invert},
};

use super::{
    budget::Budget,
    charsmap,
    pattern::{Pattern, Source},
};

/// Bytes of a part, unless it has a table of characters; then
const LONGEST: usize = 256 << 10;
/// so many.
const LONGEST_WITH_TABLE: usize = 4 << 20;
/// Values of a part: a tree of JSON takes some hundred bytes each.
const MOST_VALUES: usize = 20_000;
/// Sequences within sequences.
const DEEPEST: usize = 4;
/// Bytes of what replaces something.
const LONGEST_CONTENT: usize = 1024;
/// A text may grow to so many times its size while it is normalised or decoded, and so much beyond.
const GROWTH: usize = 64;
const GROWTH_BEYOND: usize = 64 << 10;

/// Normalises a text.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Normalizer {
    Sequence { r#type: Sequence, normalizers: Vec<Normalizer> },
    Replace(Replace),
    Other(NormalizerWrapper),
}

/// Cuts a text before the model does.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum PreTokenizer {
    Sequence { r#type: Sequence, pretokenizers: Vec<PreTokenizer> },
    Split(Split),
    Other(PreTokenizerWrapper),
}

/// Makes a text of tokens.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Decoder {
    Sequence { r#type: Sequence, decoders: Vec<Decoder> },
    Replace(Replace),
    Strip(Strip),
    Other(DecoderWrapper),
}

/// `"type": "Sequence"`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Sequence {
    Sequence,
}

/// Something in a text replaced by something else.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Replace {
    r#type: &'static str,
    pattern: Source,
    content: String,
    #[serde(skip)]
    compiled: Pattern,
}

/// A text cut where a pattern matches.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Split {
    r#type: &'static str,
    pub(super) pattern: Source,
    pub(super) behavior: SplitDelimiterBehavior,
    pub(super) invert: bool,
    #[serde(skip)]
    pub(super) compiled: Pattern,
}

/// A character stripped from a token's ends, so many times at most.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Strip {
    r#type: &'static str,
    content: char,
    start: usize,
    stop: usize,
}

thread_local! {
    /// Why a text could not be normalised: the tokenizers crate passes over such errors.
    static FAILED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Why the text that this thread encoded last could not be normalised, if so.
pub(crate) fn failed() -> Option<String> {
    FAILED.with(|f| f.borrow_mut().take())
}

/// A part's JSON as a tree.
pub(super) fn tree(json: &str, budget: &mut Budget) -> Result<Value> {
    let table = json.contains("precompiled_charsmap");
    let most = if table { LONGEST_WITH_TABLE } else { LONGEST };
    budget.limit("bytes", json.len(), most)?;
    let values = json.bytes().filter(|b| matches!(b, b'{' | b'[' | b',' | b':')).count();
    budget.limit("values", values, MOST_VALUES)?;
    if table {
        // As text in the tree, as bytes, as numbers of a machine word, in two tokenisers; and what the
        // walk over it marks.
        budget.take("the table of characters", 12 * json.len())?;
    }
    serde_json::from_str(json).map_err(Error::input)
}

/// A part's type and what else it says. Without a type the tokenizers crate would guess one, past what is
/// checked here.
pub(super) struct Part {
    name: String,
    value: Value,
}

/// A part that may be a sequence of parts.
pub(super) trait Sequences: Sized {
    /// The key of a sequence's parts.
    const PARTS: &'static str;

    fn sequence(parts: Vec<Self>) -> Self;
}

macro_rules! sequences {
    ($($ty:ident: $parts:ident,)*) => {$(
        impl Sequences for $ty {
            const PARTS: &'static str = stringify!($parts);

            fn sequence($parts: Vec<Self>) -> Self {
                Self::Sequence { r#type: Sequence::Sequence, $parts }
            }
        }
    )*};
}

sequences! {
    Normalizer: normalizers,
    PreTokenizer: pretokenizers,
    Decoder: decoders,
}

/// A kind of part.
pub(super) trait Kind: Sequences {
    /// One that is no sequence.
    fn one(part: Part, budget: &mut Budget) -> Result<Self>;

    fn read(json: &str, budget: &mut Budget) -> Result<Self> {
        Self::of(tree(json, budget)?, 0, budget)
    }

    /// One at a depth of sequences.
    fn of(value: Value, depth: usize, budget: &mut Budget) -> Result<Self> {
        let mut part = Part::new(value, depth, budget)?;
        if part.name != "Sequence" {
            return Self::one(part, budget);
        }
        let Some(Value::Array(list)) = part.value.get_mut(Self::PARTS).map(Value::take) else {
            return Err(Error::input(format!("a Sequence without a list `{}`", Self::PARTS)));
        };
        let parts = list.into_iter().map(|part| Self::of(part, depth + 1, budget));
        parts.collect::<Result<_>>().map(Self::sequence)
    }
}

impl Part {
    fn new(value: Value, depth: usize, budget: &mut Budget) -> Result<Self> {
        budget.part()?;
        budget.limit("sequences within each other", depth, DEEPEST)?;
        let wrong = |what: &str| {
            let found: String = value.to_string().chars().take(60).collect();
            Err(Error::input(format!("{what}, found {found}")))
        };
        let Some(map) = value.as_object() else { return wrong("an object was expected") };
        let name = match map.get("type") {
            Some(Value::String(name)) => name.clone(),
            Some(_) => return wrong("a text was expected as `type`"),
            None => return wrong("a `type` was expected"),
        };
        Ok(Self { name, value })
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let value = self.value.get(key).cloned().unwrap_or_default();
        T::deserialize(value).map_err(|e| Error::input(format!("`{key}` of {}: {e}", self.name)))
    }

    fn theirs<T: DeserializeOwned + Serialize>(self) -> Result<T> {
        let hint = "is it from a newer version of the tokenizers library?";
        let read: T = serde_json::from_value(self.value)
            .map_err(|e| Error::input(format!("{:?} cannot be read: {e}", self.name)).hint(hint))?;
        // What has a type that the library does not know it takes for one with the same keys, past our checks.
        let known = self.name == "Precompiled"
            || serde_json::to_value(&read).is_ok_and(|v| v["type"] == self.name.as_str());
        match known {
            true => Ok(read),
            false => Err(Error::input(format!("{:?} is not known", self.name)).hint(hint)),
        }
    }

    fn replace(self, budget: &mut Budget) -> Result<Replace> {
        let pattern: Source = self.get("pattern")?;
        let content: String = self.get("content")?;
        budget.limit("bytes of `content`", content.len(), LONGEST_CONTENT)?;
        let compiled = Pattern::new(&pattern, budget)?;
        Ok(Replace { r#type: "Replace", pattern, content, compiled })
    }
}

impl Kind for Normalizer {
    fn one(part: Part, budget: &mut Budget) -> Result<Self> {
        Ok(match part.name.as_str() {
            "Replace" => Self::Replace(part.replace(budget)?),
            "Precompiled" => {
                let table: String = part.get("precompiled_charsmap")?;
                Self::Other(NormalizerWrapper::Precompiled(charsmap::read(&table)?))
            }
            name => {
                if name == "ByteLevel" {
                    budget.byte_level()?;
                }
                if name == "Prepend" {
                    let prepended: String = part.get("prepend")?;
                    budget.limit("bytes of `prepend`", prepended.len(), LONGEST_CONTENT)?;
                }
                Self::Other(part.theirs()?)
            }
        })
    }
}

impl Normalizer {
    fn run(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        match self {
            Self::Sequence { normalizers, .. } => {
                return normalizers.iter().try_for_each(|n| n.run(text));
            }
            Self::Replace(replace) => {
                let more = replace.compiled.count(text.get())? * replace.content.len();
                grown(text.get().len() + more, text.get_original().len())?;
                text.replace(&replace.compiled, &replace.content)?;
            }
            Self::Other(normalizer) => tokenizers::Normalizer::normalize(normalizer, text)?,
        }
        grown(text.get().len(), text.get_original().len())
    }
}

impl tokenizers::Normalizer for Normalizer {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        let result = self.run(text);
        if let Err(e) = &result {
            FAILED.with(|f| *f.borrow_mut() = Some(e.to_string()));
        }
        result
    }
}

/// Refuses what grows without end.
fn grown(to: usize, from: usize) -> tokenizers::Result<()> {
    if to <= GROWTH * from + GROWTH_BEYOND {
        return Ok(());
    }
    Err(format!("the tokeniser would make {to} bytes of a text of {from}").into())
}

impl Kind for PreTokenizer {
    fn one(part: Part, budget: &mut Budget) -> Result<Self> {
        Ok(match part.name.as_str() {
            "Split" => {
                let pattern: Source = part.get("pattern")?;
                let compiled = Pattern::new(&pattern, budget)?;
                let (behavior, invert) = (part.get("behavior")?, part.get("invert")?);
                Self::Split(Split { r#type: "Split", pattern, behavior, invert, compiled })
            }
            name => {
                if name == "ByteLevel" {
                    budget.byte_level()?;
                }
                if part.value.get("length").is_some_and(|n| n == 0) {
                    return Err(Error::input(format!("{name} of length 0 cuts nothing off")));
                }
                Self::Other(part.theirs()?)
            }
        })
    }
}

impl tokenizers::PreTokenizer for PreTokenizer {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match self {
            Self::Sequence { pretokenizers, .. } => {
                pretokenizers.iter().try_for_each(|p| p.pre_tokenize(text))
            }
            Self::Split(split) if split.invert => {
                text.split(|_, text| text.split(Invert(&split.compiled), split.behavior))
            }
            Self::Split(split) => text.split(|_, text| text.split(&split.compiled, split.behavior)),
            Self::Other(pre_tokenizer) => pre_tokenizer.pre_tokenize(text),
        }
    }
}

impl Kind for Decoder {
    fn one(part: Part, budget: &mut Budget) -> Result<Self> {
        Ok(match part.name.as_str() {
            "Replace" => Self::Replace(part.replace(budget)?),
            "Strip" => Self::Strip(Strip {
                r#type: "Strip",
                content: part.get("content")?,
                start: part.get("start")?,
                stop: part.get("stop")?,
            }),
            _ => Self::Other(part.theirs()?),
        })
    }
}

impl tokenizers::Decoder for Decoder {
    fn decode_chain(&self, tokens: Vec<String>) -> tokenizers::Result<Vec<String>> {
        let bytes = |tokens: &[String]| tokens.iter().map(String::len).sum::<usize>();
        let from = bytes(&tokens);
        let out = match self {
            Self::Sequence { decoders, .. } => {
                return decoders.iter().try_fold(tokens, |tokens, d| {
                    let tokens = d.decode_chain(tokens)?;
                    grown(bytes(&tokens), from)?;
                    Ok(tokens)
                });
            }
            Self::Replace(replace) => {
                let mut to = 0;
                let tokens = tokens.iter().map(|token| {
                    let token = replace.decode(token)?;
                    to += token.len();
                    grown(to, from)?;
                    Ok(token)
                });
                return tokens.collect();
            }
            Self::Strip(strip) => tokens.iter().map(|token| strip.decode(token).into()).collect(),
            // BPEDecoder counts down from their number.
            Self::Other(_) if tokens.is_empty() => Vec::new(),
            Self::Other(decoder) => decoder.decode_chain(tokens)?,
        };
        grown(bytes(&out), from)?;
        Ok(out)
    }
}

impl Replace {
    fn decode(&self, token: &str) -> tokenizers::Result<String> {
        let mut out = String::new();
        for ((start, stop), matched) in pattern::Pattern::find_matches(&&self.compiled, token)? {
            out.push_str(if matched { &self.content } else { &token[start..stop] });
        }
        Ok(out)
    }
}

impl Strip {
    /// The tokenizers crate panics where `stop` is more than there is.
    fn decode<'a>(&self, token: &'a str) -> &'a str {
        let mut rest = token;
        for _ in 0..self.start.min(token.len()) {
            match rest.strip_prefix(self.content) {
                Some(behind) => rest = behind,
                None => break,
            }
        }
        for _ in 0..self.stop.min(token.len()) {
            match rest.strip_suffix(self.content) {
                Some(before) => rest = before,
                None => break,
            }
        }
        rest
    }
}

/// The keys of an object, for what is checked before it is handed over.
pub(super) fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| Error::input(format!("{name} is no object")))
}
