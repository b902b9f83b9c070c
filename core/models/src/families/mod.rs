//! The families of Transformers. A new one is a folder here and a line in [`FAMILIES`].

mod bert;
mod electra;
mod encoder;
mod gemma3;
mod gpt2;
mod layers;
mod llama;
mod roberta;
mod rope;
mod xlnet;

use athanor_store::{Error, Result, nearest};
use athanor_tensor::{Device, ParamId, Params, Rng, Tensor, Var};
use serde_json::{Map, Value};
use std::collections::HashMap;

use crate::{
    config::Fields,
    folder::{Place, Stored},
    heads::{Kind, Variant},
    pass::Pass,
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
    /// name that ends in a dot stands for `NAME.0`, `NAME.1`, ….
    pub inputs: &'static [&'static str],
    /// What tensor names of a model with a head begin with.
    pub prefix: &'static str,
    /// Inner width of the feed-forward part where nobody names one, from the hidden width.
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
    pub fn variant(&self, kind: &Kind) -> Option<Variant> {
        let own = self.heads.iter().find(|v| v.head == kind.name).copied();
        own.or_else(|| Some(Variant::new(kind.name, kind.standard?)))
    }

    /// How the names of its classes with a head end.
    pub fn suffix(&self, kind: &Kind) -> Option<&'static str> {
        self.variant(kind).map(|v| v.suffix.unwrap_or(kind.suffix))
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

/// The sizes of a model to be made, whatever its family.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Positions, the longest context.
    pub context: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Inner width of the feed-forward part.
    pub intermediate: usize,
    /// RMS norm on queries and keys.
    pub qk_norm: bool,
    /// Biases on the projections to queries, keys and values.
    pub qkv_bias: bool,
    /// How many places a query sees, its own among them; None is all.
    pub sliding_window: Option<usize>,
    /// Whether input and output embeddings are one.
    pub tied: bool,
    /// Base of the rotary angles.
    pub rope_theta: f64,
}

/// Sizes that generation and accounts need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// The longest context.
    pub context: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

/// A network: from tokens to hidden states.
pub trait Architecture: Send + Sync {
    /// Its sizes.
    fn sizes(&self) -> Sizes;
    /// Hidden states after the final norm, [batch, time, hidden].
    fn forward(&self, pass: &mut Pass<'_>) -> Var;
    /// The tables that are looked up, first the input embedding [vocabulary, hidden].
    fn embeddings(&self) -> Vec<ParamId>;
    /// Whether the output embedding is the input embedding.
    fn tied(&self) -> bool;
    /// Whether a token sees only what stands before it.
    fn causal(&self) -> bool {
        true
    }
    /// Whether the input may name targets for a query stream.
    fn two_streams(&self) -> bool {
        false
    }
    /// The position of each token of rows of `time` where nobody gives them.
    fn positions(&self, ids: &[i32], time: usize) -> Vec<i32> {
        counted(ids.len(), time)
    }
    /// Positions are below this.
    fn position_limit(&self) -> usize {
        self.sizes().context
    }
    /// Another token pads from now on: config.json changed.
    fn set_padding(&mut self, _pad: u32) {}
    /// Token types are below this; 0 if it has none.
    fn type_limit(&self) -> usize {
        0
    }
}

/// Positions 0, 1, 2, … in rows of `time`.
fn counted(count: usize, time: usize) -> Vec<i32> {
    (0..count).map(|i| (i % time.max(1)) as i32).collect()
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal with this deviation.
    Normal(f32),
    /// Ones.
    One,
    /// Zeros.
    Zero,
}

/// Where a network's parameters come from: a file, or chance.
pub struct Builder {
    /// The parameters declared so far.
    pub params: Params,
    device: Device,
    /// What the trunk's names begin with in this model, and in the family's models with a head.
    prefix: String,
    headed: String,
    rng: Rng,
    loaded: Option<Stored>,
    /// Whether a head that the file lacks is an error.
    whole: bool,
    /// Whether a head that the file has is for something else.
    other_head: bool,
    /// A guest's: what its own names begin with, and the host's parameters that it shares.
    outer: &'static str,
    shared: HashMap<String, ParamId>,
}

impl Builder {
    /// Random parameters. `prefix` is what the trunk's names begin with.
    pub fn random(device: Device, prefix: &str, seed: u64) -> Self {
        Self {
            params: Params::new(),
            device,
            prefix: prefix.into(),
            headed: prefix.into(),
            rng: Rng::new(seed).fork("init"),
            loaded: None,
            whole: false,
            other_head: false,
            outer: "",
            shared: HashMap::new(),
        }
    }

    /// Random parameters among those of a host, under names that begin with `outer`, but for those
    /// of the trunk that are `shared`.
    pub fn guest(
        device: Device,
        prefix: &str,
        seed: u64,
        params: Params,
        outer: &'static str,
        shared: HashMap<String, ParamId>,
    ) -> Self {
        Self { params, outer, shared, ..Self::random(device, prefix, seed) }
    }

    /// The host's parameters that a guest shares.
    pub(crate) fn shared(&self) -> Vec<ParamId> {
        self.shared.values().copied().collect()
    }

    /// Parameters from tensors by name, whose trunk may have the prefix `headed`, `prefix` or none.
    /// A head that they lack starts by chance from `seed`, unless the file must be `whole`.
    pub fn loaded(
        device: Device,
        [prefix, headed]: [&str; 2],
        tensors: Stored,
        seed: u64,
        whole: bool,
    ) -> Self {
        let headed = headed.into();
        Self { loaded: Some(tensors), headed, whole, ..Self::random(device, prefix, seed) }
    }

    /// Lets the head start by chance even where the file has one: it was for something else.
    pub fn forget_head(&mut self) {
        self.other_head = true;
    }

    /// The name under which the file has a tensor of the trunk.
    fn stored(&self, name: &str) -> String {
        let full = format!("{}{name}", self.prefix);
        let other = format!("{}{name}", self.headed);
        let has = |n: &str| self.loaded.as_ref().is_some_and(|t| t.contains(n));
        // A bare trunk (`GPT2Model`) has the same tensors without the prefix.
        match () {
            () if has(&full) => full,
            () if has(&other) => other,
            () if has(name) => name.into(),
            () => full,
        }
    }

    /// A parameter of the trunk, `name` without the prefix that a headed model gives it.
    ///
    /// # Errors
    /// Input, if the file lacks it or has another shape.
    pub fn trunk(&mut self, name: &str, shape: &[usize], init: Init) -> Result<ParamId> {
        if let Some(&id) = self.shared.get(name) {
            let found = self.params.get(id).shape();
            if found[..] == *shape {
                return Ok(id);
            }
            return Err(Error::input(format!("{found:?} is shared, {shape:?} was expected"))
                .at(format!("tensor {name}")));
        }
        let (full, stored) = (format!("{}{name}", self.prefix), self.stored(name));
        self.declare(&full, &stored, shape, init, false)
    }

    /// A parameter of a part of the trunk that only some heads need; chance where a file lacks it.
    ///
    /// # Errors
    /// Input, if it is missing from a file that must be whole, or has another shape.
    pub fn pooler(&mut self, name: &str, shape: &[usize], init: Init) -> Result<ParamId> {
        let (full, stored) = (format!("{}{name}", self.prefix), self.stored(name));
        self.declare(&full, &stored, shape, init, !self.whole)
    }

    /// Whether there is such a part: always, but in a file that lacks it.
    pub fn has_pooler(&self, name: &str) -> bool {
        self.loaded.as_ref().is_none_or(|t| t.contains(&self.stored(name)))
    }

    /// A parameter of the head; chance where a file lacks it.
    ///
    /// # Errors
    /// Input, if it is missing from a file that must be whole, or has another shape.
    pub fn head(&mut self, name: &str, shape: &[usize], init: Init) -> Result<ParamId> {
        self.drop_other(name);
        self.declare(name, name, shape, init, !self.whole)
    }

    /// A parameter of the head that no file may lack.
    ///
    /// # Errors
    /// Input, if it is missing or has another shape.
    pub fn required_head(&mut self, name: &str, shape: &[usize], init: Init) -> Result<ParamId> {
        self.declare(name, name, shape, init, false)
    }

    /// [`head`](Self::head), but a file may have it under another name.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn head_or(
        &mut self,
        name: &str,
        other: &str,
        shape: &[usize],
        init: Init,
    ) -> Result<ParamId> {
        self.drop_other(name);
        self.drop_other(other);
        let has = |n: &str| self.loaded.as_ref().is_some_and(|t| t.contains(n));
        let stored = if !has(name) && has(other) { other } else { name };
        self.declare(name, stored, shape, init, !self.whole)
    }

    fn drop_other(&mut self, name: &str) {
        if let (true, Some(tensors)) = (self.other_head, &mut self.loaded) {
            tensors.take(name);
        }
    }

    fn declare(
        &mut self,
        name: &str,
        stored: &str,
        shape: &[usize],
        init: Init,
        optional: bool,
    ) -> Result<ParamId> {
        if let Some(tensors) = &mut self.loaded {
            match tensors.take(stored) {
                Some(place) if place.shape == shape => {
                    let value = tensors.read(self.device, &place)?;
                    return Ok(self.params.insert(name, value));
                }
                Some(Place { shape: found, .. }) => {
                    return Err(Error::input(format!(
                        "shape {found:?}, but config.json asks for {shape:?}"
                    ))
                    .at(format!("tensor {stored}"))
                    .hint("config.json and model.safetensors must come from the same model"));
                }
                None if optional => {}
                None => {
                    return Err(Error::input(format!("tensor {stored} {shape:?} is missing"))
                        .hint("config.json and model.safetensors must come from the same model"));
                }
            }
        }
        let name = &format!("{}{name}", self.outer);
        let value = Tensor::filled(self.device, shape, |values| {
            match init {
                Init::Normal(std) => self.rng.fork(name).fill_normal(values, 0.0, std),
                Init::One => values.fill(1.0),
                Init::Zero => values.fill(0.0),
            }
            Ok::<_, Error>(())
        })?;
        Ok(self.params.insert(name, value))
    }

    /// Names in the file that nobody asked for.
    pub fn left_over(&self) -> Vec<String> {
        let mut names: Vec<String> = self.loaded.iter().flat_map(|t| t.names().cloned()).collect();
        names.sort();
        names
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        self.device
    }
}
