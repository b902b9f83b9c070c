//! Heads, the part of a model above the trunk. A head is a file here and a line in [`HEADS`]: its class name, its
//! layers, the labels it takes, its outputs and its loss. A family says in its [`Variant`]s where its
//! own layers differ from the usual ones.

mod bare;
mod call;
mod causal_lm;
pub mod losses;
mod masked_lm;
mod multiple_choice;
mod network;
mod next_sentence;
mod permutation_lm;
mod pretraining;
mod replaced_token;
mod sequence;
mod span;
mod stack;
mod token;
mod value;

use std::fmt;

use athanor_store::Result;
use serde_json::{Map, Value};

use crate::config::Fields;

pub(crate) use call::{Call, Given};
pub(crate) use network::{HeadNetwork, rows};
pub use stack::{Activate, DropFn, Layer, Out, Readout, Stack, Start, Width};

/// All heads.
pub static HEADS: &[&HeadKind] = &[
    &bare::HEAD,
    &causal_lm::HEAD,
    &masked_lm::HEAD,
    &permutation_lm::HEAD,
    &next_sentence::HEAD,
    &pretraining::HEAD,
    &replaced_token::HEAD,
    &sequence::HEAD,
    &token::HEAD,
    &span::HEAD,
    &multiple_choice::HEAD,
];

/// Heads that a model can have beside its own, each in a file of its own.
pub static BESIDE: &[&HeadKind] = &[&value::HEAD];

/// One kind of head.
pub struct HeadKind {
    /// Our name for it, as in a recipe.
    pub name: &'static str,
    /// How the names of Hugging Face's classes end, where the family does not say otherwise.
    pub suffix: &'static str,
    /// The usual layers; none where only some families have the head and each has its own.
    pub standard: Option<&'static [Stack]>,
    /// The file of its own that it has beside model.safetensors; none for the heads of Hugging Face's classes.
    pub file: Option<&'static str>,
    /// Whether config.json says how many labels it has.
    pub labelled: bool,
    /// The tensors of labels that `athanor forward` takes.
    pub labels: &'static [&'static str],
    /// Whether input_ids are [batch, choices, time].
    pub choices: bool,
    /// Whether its scores say which token fills a gap.
    pub gaps: bool,
    /// Outputs and loss.
    pub(crate) forward: fn(&mut Call<'_>) -> Result<()>,
}

impl HeadKind {
    /// A head with layers of each family's own, one tensor of labels, and nothing particular.
    pub(crate) const fn new(
        name: &'static str,
        suffix: &'static str,
        forward: fn(&mut Call<'_>) -> Result<()>,
    ) -> Self {
        Self {
            name,
            suffix,
            standard: None,
            file: None,
            labelled: false,
            labels: &["labels"],
            choices: false,
            gaps: false,
            forward,
        }
    }
}

/// How a family has a head.
#[derive(Clone, Copy)]
pub struct Variant {
    /// The head's name in [`HEADS`].
    pub head: &'static str,
    /// How its class names end, where not as usual.
    pub suffix: Option<&'static str>,
    /// What the trunk's tensor names begin with, where not as in the family's other classes.
    pub prefix: Option<&'static str>,
    /// The layers.
    pub stacks: &'static [Stack],
}

impl Variant {
    /// A head under its usual name.
    pub const fn new(head: &'static str, stacks: &'static [Stack]) -> Self {
        Self { head, suffix: None, prefix: None, stacks }
    }

    /// Under a class name that ends otherwise.
    #[must_use]
    pub const fn named(self, suffix: &'static str) -> Self {
        Self { suffix: Some(suffix), ..self }
    }
}

/// A model's head; `architectures` in config.json names it.
#[derive(Clone, Copy)]
pub struct Head {
    kind: &'static HeadKind,
    labels: usize,
}

impl Head {
    /// Hidden states, and a pooled one where the family has a pooler: `…Model`.
    pub const BARE: Self = Self::of(&bare::HEAD);
    /// Next-token logits: `…ForCausalLM`, `GPT2LMHeadModel`.
    pub const CAUSAL_LM: Self = Self::of(&causal_lm::HEAD);
    /// Logits of masked tokens: `…ForMaskedLM`.
    pub const MASKED_LM: Self = Self::of(&masked_lm::HEAD);
    /// Logits of the places that XLNet's query stream asks for: `XLNetLMHeadModel`.
    pub const PERMUTATION_LM: Self = Self::of(&permutation_lm::HEAD);
    /// Whether the second text follows the first: `…ForNextSentencePrediction`.
    pub const NEXT_SENTENCE: Self = Self::of(&next_sentence::HEAD);
    /// Masked tokens and next sentence: `…ForPreTraining`.
    pub const PRETRAINING: Self = Self::of(&pretraining::HEAD);
    /// Whether a token was replaced: `ElectraForPreTraining`.
    pub const REPLACED_TOKEN: Self = Self::of(&replaced_token::HEAD);
    /// Two scores a token, of the answer's start and end: `…ForQuestionAnswering`.
    pub const SPAN: Self = Self::of(&span::HEAD);
    /// One score a choice: `…ForMultipleChoice`.
    pub const MULTIPLE_CHOICE: Self = Self::of(&multiple_choice::HEAD);
    /// One score a token, put beside another head: values in reinforcement learning.
    pub const VALUE: Self = Self::of(&value::HEAD);
    /// One score: rewards.
    pub const SCALAR: Self = Self::sequence(1);

    /// A head of [`BESIDE`].
    pub(crate) const fn of(kind: &'static HeadKind) -> Self {
        Self { kind, labels: 0 }
    }

    /// `labels` scores of a text: `…ForSequenceClassification`. With one label it is a reward or value.
    pub const fn sequence(labels: usize) -> Self {
        Self { kind: &sequence::HEAD, labels }
    }

    /// `labels` scores of each token: `…ForTokenClassification`.
    pub const fn token(labels: usize) -> Self {
        Self { kind: &token::HEAD, labels }
    }

    /// The kind of head.
    pub fn kind(self) -> &'static HeadKind {
        self.kind
    }

    /// How many labels it has, if it is of a kind that has a number of them.
    pub fn labels(self) -> usize {
        self.labels
    }

    /// A head of this kind with as many labels as config.json says.
    pub(crate) fn read(kind: &'static HeadKind, config: &Map<String, Value>) -> Result<Self> {
        let labels = match config.get("id2label").and_then(Value::as_object) {
            _ if !kind.labelled => 0,
            Some(names) if !names.is_empty() => names.len(),
            _ => Fields(config).size("num_labels", Some(2))?,
        };
        Ok(Self { kind, labels })
    }

    /// Adjusts config.json to the head.
    pub(crate) fn write(self, config: &mut Map<String, Value>) {
        if !self.kind.labelled {
            return;
        }
        let named = config.get("id2label").and_then(Value::as_object).map(Map::len);
        if named != Some(self.labels) {
            let names = (0..self.labels).map(|i| (i.to_string(), format!("LABEL_{i}").into()));
            let back = (0..self.labels).map(|i| (format!("LABEL_{i}"), i.into()));
            config.insert("id2label".into(), names.collect::<Map<_, _>>().into());
            config.insert("label2id".into(), back.collect::<Map<_, _>>().into());
        }
        if self == Self::SCALAR {
            config.insert("problem_type".into(), "regression".into());
        }
    }
}

/// The names of a labelled head's scores, as config.json's `id2label` has them; none where it has not.
pub fn names(config: &Map<String, Value>) -> Option<Vec<String>> {
    let names = config.get("id2label")?.as_object()?;
    (0..names.len()).map(|i| Some(names.get(&i.to_string())?.as_str()?.to_owned())).collect()
}

/// Gives a labelled head's scores names.
pub(crate) fn set_names(config: &mut Map<String, Value>, labels: &[String]) {
    let names = labels.iter().enumerate().map(|(i, l)| (i.to_string(), l.as_str().into()));
    let back = labels.iter().enumerate().map(|(i, l)| (l.clone(), i.into()));
    config.insert("id2label".into(), names.collect::<Map<_, _>>().into());
    config.insert("label2id".into(), back.collect::<Map<_, _>>().into());
    config.shift_remove("num_labels");
    config.shift_remove("problem_type");
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.kind.name == other.kind.name && self.labels == other.labels
    }
}

impl Eq for Head {}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name)?;
        if self.kind.labelled { write!(f, " of {} labels", self.labels) } else { Ok(()) }
    }
}
