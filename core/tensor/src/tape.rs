//! Reverse-mode differentiation: each op records one closure that turns its output's gradient
//! into its inputs' gradients. Going backward consumes the closures, so what an op saved is freed
//! as soon as its own backward has run.

use std::{cell::RefCell, rc::Rc};

use crate::{
    backend,
    device::Device,
    packed::PackedWeights,
    tensor::{Shape, Tensor},
};

type Backward = Box<dyn FnOnce(Tensor, &mut Grads)>;

/// What happened in a forward pass, in order.
#[derive(Clone, Default)]
pub struct Tape {
    nodes: Rc<RefCell<Vec<Option<Backward>>>>,
    recompute: bool,
}

/// How to compute an op's output again, from what is kept anyway.
#[derive(Clone)]
pub(crate) struct Recompute {
    make: Rc<dyn Fn() -> Tensor>,
    depth: u8,
}

/// Most ops in a row that are computed again: norm, linear map, activation, product. An input that is used twice
/// is computed twice, so this bounds the work.
const DEEPEST: u8 = 4;

/// A value that a backward pass needs: kept, or computed again where that is cheap, from the same operands
/// by the same kernels and so with the same bytes.
#[derive(Clone)]
pub(crate) enum Saved {
    Kept(Tensor),
    Recomputed(Recompute),
}

impl Saved {
    pub fn get(&self) -> Tensor {
        match self {
            Self::Kept(tensor) => tensor.clone(),
            Self::Recomputed(recompute) => (recompute.make)(),
        }
    }
}

/// Where an op finds an input's gradient; `None` where none is wanted.
pub(crate) type Slot = Option<usize>;

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty tape that makes linear maps again in the backward pass instead of keeping them: Chen et
    /// al. 2016, "Training deep nets with sublinear memory cost". What stays are sums of residuals and
    /// attention's outputs.
    pub fn recomputing() -> Self {
        Self { recompute: true, ..Self::default() }
    }

    /// A value with a wanted gradient.
    pub fn leaf(&self, value: Tensor) -> Var {
        self.push(value, None)
    }

    fn push(&self, value: Tensor, backward: Option<Backward>) -> Var {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(backward);
        Var { value, node: Some((self.clone(), nodes.len() - 1)), recompute: None, packed: None }
    }

    /// Gradients of `loss` (one element) with respect to every leaf, added to `grads`.
    ///
    /// The tape is used up. All sums run in the order of the tape, so the result is the same for any
    /// number of threads.
    ///
    /// # Panics
    /// If `loss` has more than one element.
    pub fn backward(&self, loss: &Var, grads: &mut Grads) {
        assert_eq!(loss.value.len(), 1, "backward() of a loss of shape {:?}", loss.value.shape());
        let Some((_, last)) = &loss.node else { return };
        let last = *last;
        grads.slots.resize_with(grads.slots.len().max(last + 1), || None);
        grads.add(Some(last), Tensor::full(loss.value.device(), *loss.value.shape(), 1.0));
        for i in (0..=last).rev() {
            let Some(backward) = self.nodes.borrow_mut()[i].take() else { continue };
            if let Some(grad) = grads.slots[i].take() {
                backward(grad, grads);
            }
        }
    }
}

/// Gradients on their way backward, by place on the tape.
#[derive(Default)]
pub struct Grads {
    slots: Vec<Option<Tensor>>,
}

impl Grads {
    /// No gradients.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the gradient of a leaf; `None` if the loss does not depend on it.
    pub fn take(&mut self, leaf: &Var) -> Option<Tensor> {
        let slot = leaf.slot()?;
        self.slots.get_mut(slot)?.take()
    }

    /// Puts back a sum to which the next backward adds.
    pub(crate) fn put(&mut self, slot: usize, sum: Option<Tensor>) {
        self.slots.resize_with(self.slots.len().max(slot + 1), || None);
        self.slots[slot] = sum;
    }

    /// Takes the sum of a slot, for an op to add to in place; [`add`](Self::add) puts it back.
    pub(crate) fn take_slot(&mut self, slot: Slot) -> Option<Tensor> {
        self.slots[slot?].take()
    }

    /// The sum of a slot and `true`; or arbitrary content and `false`, where there is none so far. `None` where no
    /// gradient is wanted. [`add`](Self::add) puts it back.
    pub(crate) fn take_or_uninit(
        &mut self,
        slot: Slot,
        device: Device,
        shape: Shape,
    ) -> Option<(Tensor, bool)> {
        slot?;
        Some(match self.take_slot(slot) {
            Some(sum) => (sum, true),
            None => (Tensor::uninit(device, shape), false),
        })
    }

    /// Adds `grad` to the slot.
    pub(crate) fn add(&mut self, slot: Slot, grad: Tensor) {
        let Some(slot) = slot else { return };
        match &mut self.slots[slot] {
            empty @ None => *empty = Some(grad),
            Some(sum) if sum.is_unique() => add_assign(sum, &grad),
            Some(sum) if grad.is_unique() => {
                // Addition commutes bit for bit, so either may hold the sum.
                let mut grad = grad;
                add_assign(&mut grad, sum);
                *sum = grad;
            }
            Some(sum) => add_assign(sum, &grad),
        }
    }
}

/// sum += x, outside of any tape.
fn add_assign(sum: &mut Tensor, x: &Tensor) {
    let shapes = (sum.shape(), x.shape());
    assert_eq!(shapes.0, shapes.1, "gradient sum: shapes {:?} and {:?}", shapes.0, shapes.1);
    backend::of(sum.device()).add_assign(sum, x);
}

/// A tensor and, if a gradient is wanted, its place on the tape.
#[derive(Clone)]
pub struct Var {
    value: Tensor,
    node: Option<(Tape, usize)>,
    recompute: Option<Recompute>,
    packed: Option<PackedWeights>,
}

impl Var {
    /// A value without gradient.
    pub fn constant(value: Tensor) -> Self {
        Self { value, node: None, recompute: None, packed: None }
    }

    /// With a place for the weights laid out anew.
    pub(crate) fn with_packed(self, slot: PackedWeights) -> Self {
        Self { packed: Some(slot), ..self }
    }

    pub(crate) fn packed(&self) -> Option<&PackedWeights> {
        self.packed.as_ref()
    }

    /// The value.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// The value's sizes.
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// The same value, cut off from the tape.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self::constant(self.value.clone())
    }

    /// Whether a gradient flows to it.
    pub fn needs_grad(&self) -> bool {
        self.node.is_some()
    }

    /// Whether its tape keeps less and computes twice.
    pub(crate) fn recomputes(&self) -> bool {
        self.node.as_ref().is_some_and(|(tape, _)| tape.recompute)
    }

    /// The value for a backward pass.
    pub(crate) fn saved(&self) -> Saved {
        match &self.recompute {
            Some(recompute) => Saved::Recomputed(recompute.clone()),
            None => Saved::Kept(self.value.clone()),
        }
    }

    /// Says how the value can be computed again from what is saved of `inputs`, so that no op has to keep
    /// it. Without a tape nothing is kept, and this does nothing.
    pub(crate) fn recomputed_by(
        mut self,
        inputs: &[&Var],
        make: impl Fn() -> Tensor + 'static,
    ) -> Self {
        let depth = inputs.iter().filter_map(|v| v.recompute.as_ref()).map(|r| r.depth).max();
        let depth = depth.unwrap_or(0) + 1;
        if self.node.is_some() && depth <= DEEPEST {
            self.recompute = Some(Recompute { make: Rc::new(make), depth });
        }
        self
    }

    /// The same for a view, or what is as cheap: it can be made again if `x` can.
    pub(crate) fn recomputed_like(
        mut self,
        x: &Var,
        f: impl Fn(Tensor) -> Tensor + 'static,
    ) -> Self {
        self.recompute = x.recompute.clone().filter(|_| self.node.is_some()).map(|recompute| {
            let Recompute { make, depth } = recompute;
            Recompute { make: Rc::new(move || f(make())), depth }
        });
        self
    }

    pub(crate) fn slot(&self) -> Slot {
        self.node.as_ref().map(|(_, i)| *i)
    }

    /// The result of an op over `inputs`; `backward` is kept only if an input wants a gradient.
    pub(crate) fn record(
        value: Tensor,
        inputs: &[&Var],
        backward: impl FnOnce(Tensor, &mut Grads) + 'static,
    ) -> Self {
        let mut tapes = inputs.iter().filter_map(|v| v.node.as_ref());
        match tapes.next() {
            Some((tape, _)) if tapes.any(|(other, _)| !Rc::ptr_eq(&tape.nodes, &other.nodes)) => {
                panic!("an op over variables of two tapes")
            }
            Some((tape, _)) => tape.push(value, Some(Box::new(backward))),
            None => Self::constant(value),
        }
    }
}

impl std::fmt::Debug for Var {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}
