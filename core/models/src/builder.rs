//! Where parameters come from: a file, a random start, or a model that is there already. Layers declare theirs here, in the
//! order of model.safetensors.

use std::{collections::HashMap, sync::Arc};

use athanor_store::{Error, Result};
use athanor_tensor::{Device, ParamId, Params, Rng, Tensor, ops::Weights};

use crate::{
    adapters::{Adaptation, Adapter, Target},
    folder::{Location, Stored},
    parameter::{Init, Level, Parameter, Role, SavedIn},
};

/// What a parameter belongs to: this decides its name, and whether a file may lack it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The trunk. Its name gets the prefix that models with a head have; a file must have it.
    Trunk,
    /// A part of the trunk that only some heads need: its start where a file lacks it.
    Pooler,
    /// The head: its start where a file lacks it, or has it for something else.
    Head,
    /// A part of the head that every file must have.
    RequiredHead,
}

/// Where the values come from.
enum Source {
    /// Each parameter's start.
    Start,
    /// A file. With `whole` a head that it lacks is an error.
    File { tensors: Stored, whole: bool },
    /// The parameters that are there; new ones by their start.
    Existing,
}

/// Collects the parameters of a network while it is built.
pub struct Builder {
    /// The parameters declared so far.
    pub params: Params,
    /// Location and role of each.
    parameters: Vec<Parameter>,
    device: Device,
    /// What the trunk's names begin with in this model, and in the family's models with a head.
    prefix: String,
    headed: String,
    rng: Rng,
    source: Source,
    /// Whether a head that the file has is for something else; and its tensors, which are left out.
    other_head: bool,
    left_out: Vec<String>,
    /// A guest's: what its own names begin with, and the host's parameters that it shares.
    outer: &'static str,
    shared: HashMap<String, ParamId>,
    /// What names of the current block begin with.
    scope: String,
    /// Where the trunk's parameters are that are declared now.
    level: Level,
    /// Where what is declared now is saved.
    saved_in: SavedIn,
    adaptation: Option<Arc<dyn Adaptation>>,
    /// The adapted matrices.
    adapters: Vec<(ParamId, Arc<dyn Adapter>)>,
}

/// What a builder collected.
pub(crate) struct Built {
    pub params: Params,
    /// Location and role of each.
    pub parameters: Vec<Parameter>,
    /// The adapted matrices.
    pub adapters: Vec<(ParamId, Arc<dyn Adapter>)>,
    /// Names in the file that nothing asked for, sorted; and those of a head for something else.
    pub left_over: Vec<String>,
    pub left_out: Vec<String>,
}

impl Builder {
    /// Random parameters. `prefix` is what the trunk's names begin with.
    pub fn random(device: Device, prefix: &str, seed: u64) -> Self {
        Self {
            params: Params::new(),
            parameters: Vec::new(),
            device,
            prefix: prefix.into(),
            headed: prefix.into(),
            rng: Rng::new(seed).fork("init"),
            source: Source::Start,
            other_head: false,
            left_out: Vec::new(),
            outer: "",
            shared: HashMap::new(),
            scope: String::new(),
            level: Level::Embeddings,
            saved_in: SavedIn::Model,
            adaptation: None,
            adapters: Vec::new(),
        }
    }

    /// Random parameters among those of a host, under names that begin with `outer`, except those
    /// of the trunk that are `shared`.
    pub fn guest(
        device: Device,
        prefix: &str,
        seed: u64,
        (params, parameters): (Params, Vec<Parameter>),
        outer: &'static str,
        shared: HashMap<String, ParamId>,
    ) -> Self {
        let saved_in = SavedIn::Guest;
        Self { params, parameters, outer, shared, saved_in, ..Self::random(device, prefix, seed) }
    }

    /// Parameters from tensors by name; those of the trunk may have the prefix `headed`, `prefix` or none.
    /// A head that they lack starts at random from `seed`, unless the file must be `whole`.
    pub fn loaded(
        device: Device,
        [prefix, headed]: [&str; 2],
        tensors: Stored,
        seed: u64,
        whole: bool,
    ) -> Self {
        let (headed, source) = (headed.into(), Source::File { tensors, whole });
        Self { source, headed, ..Self::random(device, prefix, seed) }
    }

    /// The parameters of a model that is there, to build its network anew; what is new starts at random from `seed`.
    pub fn existing(
        device: Device,
        prefix: &str,
        seed: u64,
        (params, parameters): (Params, Vec<Parameter>),
    ) -> Self {
        let source = Source::Existing;
        Self { params, parameters, source, ..Self::random(device, prefix, seed) }
    }

    /// A head beside a model's own, which is saved in a file of its own: from its tensors if there are any, else the parameters
    /// that are there or their starts.
    pub fn beside(
        device: Device,
        (params, parameters): (Params, Vec<Parameter>),
        saved_in: SavedIn,
        tensors: Option<Stored>,
    ) -> Self {
        let source = match tensors {
            Some(tensors) => Source::File { tensors, whole: true },
            None => Source::Existing,
        };
        Self { params, parameters, source, saved_in, ..Self::random(device, "", 0) }
    }

    /// Gives linear maps adapters.
    #[must_use]
    pub fn adapted(self, adaptation: Arc<dyn Adaptation>) -> Self {
        Self { adaptation: Some(adaptation), ..self }
    }

    /// Lets the head start at random even where the file has one: it was for something else.
    pub fn forget_head(&mut self) {
        self.other_head = true;
    }

    /// Declares `count` blocks; names of their parameters begin with `NAME.0.`, `NAME.1.`, …. What the trunk declares
    /// before is with the embeddings, what it declares later is above the blocks.
    ///
    /// # Errors
    /// Those of `block`.
    pub fn blocks<T>(
        &mut self,
        name: &str,
        count: usize,
        mut block: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let blocks = (0..count).map(|i| {
            (self.scope, self.level) = (format!("{name}.{i}."), Level::Block(i));
            block(self)
        });
        let blocks = blocks.collect();
        (self.scope, self.level) = (String::new(), Level::Top);
        blocks
    }

    /// The tensors of the file that were not taken yet.
    fn file(&self) -> Option<&Stored> {
        match &self.source {
            Source::File { tensors, .. } => Some(tensors),
            Source::Start | Source::Existing => None,
        }
    }

    fn in_file(&self, name: &str) -> bool {
        self.file().is_some_and(|tensors| tensors.contains(name))
    }

    /// The name under which the file has a tensor of the trunk.
    fn stored(&self, name: &str) -> String {
        let full = format!("{}{name}", self.prefix);
        let other = format!("{}{name}", self.headed);
        // A bare trunk (`GPT2Model`) has the same tensors without the prefix.
        match () {
            () if self.in_file(&full) => full,
            () if self.in_file(&other) => other,
            () if self.in_file(name) => name.into(),
            () => full,
        }
    }

    /// A parameter of the trunk.
    ///
    /// # Errors
    /// As [`declare`](Self::declare).
    pub fn trunk(
        &mut self,
        name: &str,
        shape: &[usize],
        init: Init,
        role: Role,
    ) -> Result<ParamId> {
        self.declare(Owner::Trunk, name, shape, init, role)
    }

    /// A parameter of what `owner` says, `name` without the prefix of the trunk or of the current block.
    ///
    /// # Errors
    /// Input, if a file lacks it that must have it, or has another shape.
    pub fn declare(
        &mut self,
        owner: Owner,
        name: &str,
        shape: &[usize],
        init: Init,
        role: Role,
    ) -> Result<ParamId> {
        let optional = match (owner, &self.source) {
            (Owner::Pooler | Owner::Head, Source::File { whole, .. }) => !whole,
            _ => false,
        };
        match owner {
            Owner::Trunk | Owner::Pooler => {
                let name = format!("{}{name}", self.scope);
                if let Some(&id) = self.shared.get(&name) {
                    return self.same(id, &name, shape);
                }
                let (full, stored) = (format!("{}{name}", self.prefix), self.stored(&name));
                let parameter = Parameter { level: self.level, role, saved_in: self.saved_in };
                self.take(&full, &stored, shape, init, optional, parameter)
            }
            Owner::Head | Owner::RequiredHead => {
                if owner == Owner::Head {
                    self.drop_other(name);
                }
                let parameter = Parameter { level: Level::Head, role, saved_in: self.saved_in };
                self.take(name, name, shape, init, optional, parameter)
            }
        }
    }

    /// A bias of the head, which a file may have under another name.
    ///
    /// # Errors
    /// As [`declare`](Self::declare) for [`Owner::Head`].
    pub fn head_bias(&mut self, [name, other]: [&str; 2], width: usize) -> Result<ParamId> {
        self.drop_other(name);
        self.drop_other(other);
        let stored = if !self.in_file(name) && self.in_file(other) { other } else { name };
        let optional = matches!(self.source, Source::File { whole: false, .. });
        let parameter = Parameter { level: Level::Head, role: Role::Bias, saved_in: self.saved_in };
        self.take(name, stored, &[width], Init::Zero, optional, parameter)
    }

    /// Whether there is such a part of the trunk: always, except in a file that lacks it.
    pub fn has_pooler(&self, name: &str) -> bool {
        match self.source {
            Source::Start => true,
            Source::File { .. } => self.in_file(&self.stored(name)),
            Source::Existing => self.params.find(&format!("{}{name}", self.prefix)).is_some(),
        }
    }

    /// The adapter of a linear map that was just declared, if the adaptation has one for it.
    ///
    /// # Errors
    /// Those of declaring its parameters.
    pub(crate) fn adapter(
        &mut self,
        owner: Owner,
        name: &str,
        weight: ParamId,
        layout: Weights,
        sizes: [usize; 2],
    ) -> Result<Option<Arc<dyn Adapter>>> {
        let Some(adaptation) = self.adaptation.clone() else { return Ok(None) };
        let (name, level) = match owner {
            Owner::Trunk | Owner::Pooler => {
                (format!("{}{}{name}", self.prefix, self.scope), self.level)
            }
            Owner::Head | Owner::RequiredHead => (name.to_owned(), Level::Head),
        };
        let target = Target { name: &name, level, sizes, layout };
        let parameter = Parameter { level, role: Role::Adapter, saved_in: self.saved_in };
        let mut declare =
            |name: &str, shape: &[usize], init| self.take(name, name, shape, init, true, parameter);
        let adapter = adaptation.adapter(&target, &mut declare)?;
        if let Some(adapter) = &adapter {
            self.adapters.push((weight, Arc::clone(adapter)));
        }
        Ok(adapter)
    }

    fn drop_other(&mut self, name: &str) {
        if let (true, Source::File { tensors, .. }) = (self.other_head, &mut self.source) {
            let found = tensors.take(name);
            self.left_out.extend(found.map(|_| name.to_owned()));
        }
    }

    /// A parameter that is there already, if it has this shape.
    fn same(&self, id: ParamId, name: &str, shape: &[usize]) -> Result<ParamId> {
        let found = self.params.get(id).shape();
        if found[..] == *shape {
            return Ok(id);
        }
        Err(Error::input(format!("{found:?} is there, {shape:?} was expected"))
            .at(format!("tensor {name}")))
    }

    fn take(
        &mut self,
        name: &str,
        stored: &str,
        shape: &[usize],
        init: Init,
        optional: bool,
        parameter: Parameter,
    ) -> Result<ParamId> {
        if let Source::File { tensors, .. } = &mut self.source {
            match tensors.take(stored) {
                Some(place) if place.shape == shape => {
                    let value = tensors.read(self.device, &place)?;
                    return Ok(self.insert(name, value, parameter));
                }
                Some(Location { shape: found, .. }) => {
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
        if let (Source::Existing, Some(id)) = (&self.source, self.params.find(name)) {
            return self.same(id, name, shape);
        }
        let value = Tensor::filled(self.device, shape, |values| {
            match init {
                Init::Normal(std) => self.rng.fork(name).fill_normal(values, 0.0, std),
                Init::One => values.fill(1.0),
                Init::Zero => values.fill(0.0),
            }
            Ok::<_, Error>(())
        })?;
        Ok(self.insert(name, value, parameter))
    }

    fn insert(&mut self, name: &str, value: Tensor, parameter: Parameter) -> ParamId {
        let id = self.params.insert(name, value);
        match self.parameters.get_mut(id.index()) {
            Some(known) => *known = parameter,
            None => self.parameters.push(parameter),
        }
        id
    }

    /// All that was declared.
    pub(crate) fn finish(self) -> Built {
        let mut left_over: Vec<String> =
            self.file().into_iter().flat_map(|t| t.names().cloned()).collect();
        left_over.sort();
        let Self { params, parameters, adapters, left_out, .. } = self;
        Built { params, parameters, adapters, left_over, left_out }
    }

    /// Where the parameters are.
    pub fn device(&self) -> Device {
        self.device
    }
}
