//! The families of Transformers. A new one is a folder here and a line in [`FAMILIES`].

mod bert;
mod decoder;
mod electra;
mod encoder;
mod gemma3;
mod gpt2;
mod llama;
mod parts;
mod roberta;
mod rope;
mod xlnet;

use athanor_store::{Error, Result, nearest};
use serde_json::{Map, Value};

use crate::{
    architecture::Architecture,
    builder::Builder,
    config::Fields,
    heads::{HEADS, Head, HeadKind, Variant},
    sizes::Shape,
};

/// All families.
pub static FAMILIES: &[Family] = &[
    gpt2::FAMILY,
    llama::FAMILY,
    gemma3::FAMILY,
    bert::FAMILY,
    roberta::FAMILY,
    electra::FAMILY,
    xlnet::FAMILY,
];

/// One family of architectures.
pub struct Family {
    /// Our name for it, as in a recipe.
    pub name: &'static str,
    /// config.json's `model_type`s that it reads.
    pub model_types: &'static [&'static str],
    /// How the names of its classes begin, by `model_type`: `Bert`.
    pub class: fn(&str) -> &'static str,
    /// Its heads, where their layers or names are not the usual ones.
    pub heads: &'static [Variant],
    /// The tensors that `athanor forward` takes beside input_ids, attention_mask and the head's labels; a
    /// name that ends in a dot means `NAME.0`, `NAME.1`, ….
    pub inputs: &'static [&'static str],
    /// What tensor names of a model with a head begin with.
    pub prefix: &'static str,
    /// Inner width of the feed-forward part where the recipe names none, from the hidden width.
    pub intermediate: fn(usize) -> usize,
    /// What a shape has that the family cannot be; a reason.
    pub refuse: fn(&Shape) -> Option<&'static str>,
    /// A config.json for a shape.
    pub config: fn(&Shape) -> Map<String, Value>,
    /// Declares the parameters and returns the network.
    pub build: fn(Fields<'_>, &mut Builder) -> Result<Box<dyn Architecture>>,
}

impl Family {
    /// How the family has a head; none if it has not.
    pub fn variant(&self, kind: &HeadKind) -> Option<Variant> {
        let own = self.heads.iter().find(|v| v.head == kind.name).copied();
        own.or_else(|| Some(Variant::new(kind.name, kind.standard?)))
    }

    /// How the names of its classes with a head end.
    pub fn suffix(&self, kind: &HeadKind) -> Option<&'static str> {
        self.variant(kind).map(|v| v.suffix.unwrap_or(kind.suffix))
    }

    /// Whether a query stream can be asked for places: XLNet.
    pub fn has_two_streams(&self) -> bool {
        self.inputs.contains(&"target_mapping")
    }

    /// The head that `architectures` in config.json names. A config without it means the causal LM head, or none
    /// where the family has no such head.
    ///
    /// # Errors
    /// Input, for a class with a head that the family lacks.
    pub(crate) fn head(&self, config: &Map<String, Value>) -> Result<Head> {
        let class =
            config.get("architectures").and_then(|a| a.as_array()?.first()?.as_str()).unwrap_or("");
        let kind = match class {
            "" if self.variant(Head::CAUSAL_LM.kind()).is_some() => Some(Head::CAUSAL_LM.kind()),
            "" => Some(Head::BARE.kind()),
            // LMHeadModel and Model both fit GPT2LMHeadModel: the longer says more.
            class => HEADS
                .iter()
                .filter_map(|kind| Some((*kind, self.suffix(kind)?)))
                .filter(|(_, suffix)| class.ends_with(suffix))
                .max_by_key(|(_, suffix)| suffix.len())
                .map(|(kind, _)| kind),
        };
        let Some(kind) = kind else {
            let known: Vec<String> =
                HEADS.iter().filter_map(|k| Some(format!("…{}", self.suffix(k)?))).collect();
            return Err(Error::input(format!(
                "architecture {class:?} has a head that Athanor does not know in the family {}",
                self.name
            ))
            .hint(format!("known: {}", known.join(", "))));
        };
        Head::read(kind, config)
    }
}

/// Finds a family by our name.
///
/// # Errors
/// Input, for an unknown name.
pub fn by_name(name: &str) -> Result<&'static Family> {
    FAMILIES
        .iter()
        .find(|f| f.name == name)
        .ok_or_else(|| unknown("model family", name, FAMILIES.iter().map(|f| f.name)))
}

/// Finds the family of a `model_type`.
///
/// # Errors
/// Input, for one that no family reads.
pub fn by_model_type(model_type: &str) -> Result<&'static Family> {
    FAMILIES.iter().find(|f| f.model_types.contains(&model_type)).ok_or_else(|| {
        unknown(
            "`model_type`",
            model_type,
            FAMILIES.iter().flat_map(|f| f.model_types.iter().copied()),
        )
    })
}

fn unknown(what: &str, found: &str, known: impl Iterator<Item = &'static str>) -> Error {
    let known: Vec<&str> = known.collect();
    let near = nearest(found, known.iter().copied())
        .map(|n| format!("did you mean `{n}`? "))
        .unwrap_or_default();
    Error::input(format!("unknown {what} `{found}`"))
        .hint(format!("{near}known: {}", known.join(", ")))
}
