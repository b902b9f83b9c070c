//! Where parameters come from: a file, or chance. Families, layers and heads declare theirs here, in the order of
//! model.safetensors.

use std::collections::HashMap;

use athanor_store::{Error, Result};
use athanor_tensor::{Device, ParamId, Params, Rng, Tensor};

use crate::folder::{Place, Stored};

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
