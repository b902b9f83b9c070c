//! Optimisers: one is a file and a line in [`OPTIMIZERS`].

mod adamw;
mod muon;

use athanor_models::Model;
use athanor_store::{Array, ArrayData, Choice, Error, OwnKeys, Registry, Result};
use athanor_tensor::{GradSet, Params, Tensor, host};

use crate::groups::{Group, Groups};

/// An optimiser: which rule each parameter gets.
pub struct OptimizerKind {
    name: &'static str,
    about: &'static str,
    keys: OwnKeys,
    /// Peak learning rate where the recipe names none.
    pub(crate) learning_rate: f64,
    rule: fn(&Choice<OptimizerKind>, &Model, usize) -> Box<dyn Rule>,
}

/// All optimisers.
pub static OPTIMIZERS: Registry<OptimizerKind> =
    Registry::new("optimiser", &[adamw::OPTIMIZER, muon::OPTIMIZER]);

athanor_store::registered!(OptimizerKind, OPTIMIZERS, keys);

/// What a rule sees of a step.
#[derive(Clone, Copy, Debug)]
pub struct StepInfo {
    /// Learning rate.
    pub learning_rate: f64,
    /// Factor on every gradient, from clipping.
    pub grad_scale: f64,
    /// Decay of this parameter.
    pub weight_decay: f64,
    /// Updates done before this one.
    pub updates: u64,
    /// Whether other parameters are updated at the same time.
    pub among: bool,
}

/// How one parameter is updated.
pub trait Rule: Send + Sync {
    /// Names of the state tensors, each of the parameter's shape.
    fn state(&self) -> &'static [&'static str];
    /// Changes the parameter and its state.
    fn update(
        &self,
        parameter: &mut Tensor,
        gradient: &Tensor,
        state: &mut [Tensor],
        step: StepInfo,
    );
}

/// Numbers in a parameter up to which several are updated at the same time, each by one thread.
const SMALL: usize = 1 << 20;

struct Slot {
    rule: Box<dyn Rule>,
    state: Vec<Tensor>,
    group: Group,
}

/// All parameters' rules and states.
pub struct Optimizer {
    slots: Vec<Slot>,
    weight_decay: f64,
    updates: u64,
}

impl Optimizer {
    /// Fresh state for the parameters of a model that learn.
    ///
    /// # Errors
    /// Input, for an optimiser that there is not.
    pub fn new(
        choice: &Choice<OptimizerKind>,
        weight_decay: f64,
        groups: &Groups,
        model: &Model,
    ) -> Result<Self> {
        let rule_for = choice.entry()?.rule;
        let slots = model.params.iter().enumerate().map(|(i, p)| {
            let (rule, group) = (rule_for(choice, model, i), groups.of(i));
            let zeros = |_| Tensor::zeros(p.value.device(), *p.value.shape());
            let names = if group.learns { rule.state() } else { &[] };
            Slot { state: names.iter().map(zeros).collect(), rule, group }
        });
        let slots = slots.collect();
        Ok(Self { slots, weight_decay, updates: 0 })
    }

    /// One update of every parameter that learns and has a gradient.
    pub fn update(
        &mut self,
        model: &mut Model,
        grads: &GradSet,
        learning_rate: f64,
        grad_scale: f64,
    ) {
        let updates = self.updates;
        let mut gradients: Vec<Option<&Tensor>> = vec![None; self.slots.len()];
        grads.iter().for_each(|(i, gradient)| gradients[i] = Some(gradient));
        let slots = self.slots.iter_mut().zip(model.params.iter_mut()).zip(gradients);
        let all = slots.filter_map(|((slot, p), g)| Some((slot, &mut p.value, g?)));
        let (small, large): (Vec<_>, Vec<_>) =
            all.filter(|(slot, ..)| slot.group.learns).partition(|(_, p, _)| p.len() <= SMALL);
        let update = |(slot, p, gradient): (&mut Slot, &mut Tensor, &Tensor), among| {
            let weight_decay = if slot.group.decays { self.weight_decay } else { 0.0 };
            let learning_rate = learning_rate * slot.group.rate;
            let step = StepInfo { learning_rate, grad_scale, weight_decay, updates, among };
            slot.rule.update(p, gradient, &mut slot.state, step);
        };
        host::each(small, |item| update(item, true));
        large.into_iter().for_each(|item| update(item, false));
        self.updates += 1;
    }

    /// An update on a plan of the parameters, for the memory that it takes.
    pub(crate) fn plan(&self, params: &mut Params, grads: &GradSet) {
        let step = StepInfo {
            learning_rate: 0.0,
            grad_scale: 1.0,
            weight_decay: 0.0,
            updates: 0,
            among: false,
        };
        let mut params: Vec<_> = params.iter_mut().collect();
        for (i, gradient) in grads.iter().filter(|(i, _)| self.slots[*i].group.learns) {
            let slot = &self.slots[i];
            let mut state: Vec<Tensor> = slot.state.iter().map(Tensor::planned).collect();
            slot.rule.update(&mut params[i].value, gradient, &mut state, step);
        }
    }

    /// Updates done.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The state as (name, tensor), for a checkpoint.
    pub fn tensors<'a>(&'a self, model: &'a Model) -> impl Iterator<Item = (String, &'a Tensor)> {
        self.slots.iter().zip(model.params.iter()).flat_map(|(slot, p)| {
            slot.rule.state().iter().zip(&slot.state).map(|(s, t)| (format!("{}.{s}", p.name), t))
        })
    }

    /// Takes the state from a checkpoint.
    ///
    /// # Errors
    /// Input, for a tensor that is missing or has another shape.
    pub fn restore(&mut self, model: &Model, arrays: Vec<Array>, updates: u64) -> Result<()> {
        let mut by_name: std::collections::HashMap<String, Array> =
            arrays.into_iter().map(|a| (a.name.clone(), a)).collect();
        for (slot, p) in self.slots.iter_mut().zip(model.params.iter()) {
            for (name, tensor) in slot.rule.state().iter().zip(&mut slot.state) {
                let name = format!("{}.{name}", p.name);
                *tensor = restore_tensor(by_name.remove(&name), &name, &p.value)?;
            }
        }
        self.updates = updates;
        Ok(())
    }
}

/// A checkpoint's tensor, which must have the shape of `like`.
pub(crate) fn restore_tensor(array: Option<Array>, name: &str, like: &Tensor) -> Result<Tensor> {
    match array {
        Some(Array { shape, data: ArrayData::F32(values), .. })
            if shape[..] == like.shape()[..] =>
        {
            Ok(Tensor::from_slice(like.device(), &values, &shape[..]))
        }
        found => Err(Error::input(format!(
            "{}, shape {:?} was expected",
            found.map_or("it is missing".into(), |a| format!("shape {:?}", a.shape)),
            like.shape()
        ))
        .at(format!("tensor {name}"))
        .hint(
            "the checkpoint is of another model: choose another --out, or --force to begin anew",
        )),
    }
}

#[cfg(test)]
mod tests;
