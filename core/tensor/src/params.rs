//! Named parameters, and a forward pass bound to them.

use std::{cell::RefCell, collections::HashMap};

use crate::{
    packed::PackedWeights,
    tape::{Grads, Tape, Var},
    tensor::Tensor,
};

/// A parameter's place in its [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(usize);

impl ParamId {
    /// The index in order of insertion.
    pub fn index(self) -> usize {
        self.0
    }
}

/// One named parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// The name as in model.safetensors.
    pub name: String,
    /// The values.
    pub value: Tensor,
    /// Whether training changes it.
    pub trainable: bool,
}

/// Named parameters in a fixed order.
#[derive(Clone, Debug, Default)]
pub struct Params {
    entries: Vec<Param>,
    by_name: HashMap<String, ParamId>,
    int8: Option<Vec<PackedWeights>>,
}

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes products with these parameters in int8 from here on: weights in blocks of 64 along the inner
    /// dimension with an f32 scale each, rounded to the nearest by their first product, and the other side rounded
    /// likewise. Lookups stay in f32. The parameters cannot be changed or trained afterwards.
    pub fn quantise(&mut self) {
        self.int8 = Some(self.entries.iter().map(|_| PackedWeights::new(true)).collect());
    }

    /// Whether [`quantise`](Self::quantise) was called.
    pub fn is_quantised(&self) -> bool {
        self.int8.is_some()
    }

    /// Frees the f32 values of parameters that have int8 weights, except where `keep(index)`. Their sizes remain
    /// ([`Tensor::has_values`] is false).
    pub fn release_quantised(&mut self, keep: impl Fn(usize) -> bool) {
        let slots = self.int8.iter().flatten();
        for (i, (entry, slot)) in self.entries.iter_mut().zip(slots).enumerate() {
            if slot.is_filled() && !keep(i) {
                entry.value = entry.value.released();
            }
        }
    }

    fn check_changes(&self) {
        assert!(self.int8.is_none(), "parameters in int8 cannot be changed");
    }

    /// Adds one; a name that is there already gets the new value.
    ///
    /// # Panics
    /// After [`quantise`](Self::quantise).
    pub fn insert(&mut self, name: impl Into<String>, value: Tensor) -> ParamId {
        self.check_changes();
        let name = name.into();
        if let Some(&id) = self.by_name.get(&name) {
            self.entries[id.0].value = value;
            return id;
        }
        let id = ParamId(self.entries.len());
        self.by_name.insert(name.clone(), id);
        self.entries.push(Param { name, value, trainable: true });
        id
    }

    /// The same names and sizes on [`Device::Plan`](crate::Device::Plan): memory that is there already.
    #[must_use]
    pub fn planned(&self) -> Self {
        let mut plan = self.clone();
        plan.iter_mut().for_each(|p| p.value = p.value.planned());
        plan
    }

    /// Finds one by name.
    pub fn find(&self, name: &str) -> Option<ParamId> {
        self.by_name.get(name).copied()
    }

    /// The value.
    pub fn get(&self, id: ParamId) -> &Tensor {
        &self.entries[id.0].value
    }

    /// The value, to be changed.
    ///
    /// # Panics
    /// After [`quantise`](Self::quantise).
    pub fn get_mut(&mut self, id: ParamId) -> &mut Tensor {
        self.check_changes();
        &mut self.entries[id.0].value
    }

    /// All, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Param> {
        self.entries.iter()
    }

    /// All, in order, to be changed.
    ///
    /// # Panics
    /// After [`quantise`](Self::quantise).
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Param> {
        self.check_changes();
        self.entries.iter_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of values in all.
    pub fn count(&self) -> usize {
        self.entries.iter().map(|p| p.value.len()).sum()
    }
}

/// Sums of gradients, one for each parameter that got any.
#[derive(Clone, Debug, Default)]
pub struct GradSet {
    sums: Vec<Option<Tensor>>,
}

impl GradSet {
    /// No gradients.
    pub fn new() -> Self {
        Self::default()
    }

    /// The gradient of one parameter.
    pub fn get(&self, id: ParamId) -> Option<&Tensor> {
        self.sums.get(id.0)?.as_ref()
    }

    /// All there are, with their parameter's index.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Tensor)> {
        self.sums.iter().enumerate().filter_map(|(i, g)| Some((i, g.as_ref()?)))
    }

    /// All there are, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Tensor)> {
        self.sums.iter_mut().enumerate().filter_map(|(i, g)| Some((i, g.as_mut()?)))
    }
}

/// Weights packed for products of few rows, each matrix by its first product: for many passes over the same
/// parameters, such as generating a batch of texts. Takes as much memory as the weights.
#[derive(Clone)]
pub struct PackedParams {
    slots: Vec<PackedWeights>,
}

impl PackedParams {
    /// For these parameters, as long as they stay as they are.
    pub fn new(params: &Params) -> Self {
        Self { slots: (0..params.len()).map(|_| PackedWeights::new(false)).collect() }
    }
}

/// A forward pass bound to parameters; each becomes a leaf when it is first used.
pub struct Graph<'p> {
    params: &'p Params,
    tape: Option<Tape>,
    leaves: RefCell<Vec<Option<Var>>>,
    packed: Option<&'p PackedParams>,
}

impl<'p> Graph<'p> {
    /// A pass that can go backward.
    ///
    /// # Panics
    /// If the parameters are in int8.
    pub fn training(params: &'p Params) -> Self {
        assert!(!params.is_quantised(), "parameters in int8 cannot be trained");
        Self { tape: Some(Tape::new()), ..Self::inference(params) }
    }

    /// A pass that can go backward and keeps less for it, computing twice instead: [`Tape::recomputing`].
    /// The gradients are the same to the byte.
    pub fn recomputing(params: &'p Params) -> Self {
        Self { tape: Some(Tape::recomputing()), ..Self::training(params) }
    }

    /// A pass that keeps nothing.
    pub fn inference(params: &'p Params) -> Self {
        Self { params, tape: None, leaves: RefCell::new(vec![None; params.len()]), packed: None }
    }

    /// [`inference`](Self::inference) that packs weights where that makes it faster.
    ///
    /// # Panics
    /// If `packed` was made for other parameters.
    pub fn decoding(params: &'p Params, packed: &'p PackedParams) -> Self {
        assert_eq!(packed.slots.len(), params.len(), "decoding: packed for other parameters");
        Self { packed: Some(packed), ..Self::inference(params) }
    }

    /// The parameters.
    pub fn params(&self) -> &'p Params {
        self.params
    }

    /// A parameter as a variable.
    pub fn param(&self, id: ParamId) -> Var {
        let entry = &self.params.entries[id.0];
        self.leaves.borrow_mut()[id.0]
            .get_or_insert_with(|| match &self.tape {
                Some(tape) if entry.trainable => tape.leaf(entry.value.clone()),
                _ => {
                    let value = Var::constant(entry.value.clone());
                    let packed = self.packed.map(|p| &p.slots);
                    match self.params.int8.as_ref().or(packed) {
                        Some(slots) => value.with_packed(slots[id.0].clone()),
                        None => value,
                    }
                }
            })
            .clone()
    }

    /// Adds the gradients of `loss` to `sums`. May be called once.
    pub fn backward(self, loss: &Var, sums: &mut GradSet) {
        let Some(tape) = self.tape else { return };
        let leaves = self.leaves.into_inner();
        sums.sums.resize_with(leaves.len(), || None);
        let mut grads = Grads::new();
        for (leaf, sum) in leaves.iter().zip(&mut sums.sums) {
            if let Some(slot) = leaf.as_ref().and_then(Var::slot) {
                grads.put(slot, sum.take());
            }
        }
        tape.backward(loss, &mut grads);
        for (leaf, sum) in leaves.iter().zip(&mut sums.sums) {
            if let Some(leaf) = leaf.as_ref().filter(|l| l.needs_grad()) {
                *sum = grads.take(leaf);
            }
        }
    }
}
