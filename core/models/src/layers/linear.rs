//! Linear maps. All of a model's are of this one type, so what changes how they compute (adapters, other number
//! formats, splitting over devices) is done here.

use std::sync::Arc;

use athanor_store::Result;
use athanor_tensor::{
    Graph, ParamId, Var,
    ops::{self, Activation, Weights},
};

use crate::{
    adapters::Adapter,
    builder::{Builder, Owner},
    parameter::{Init, Role},
};

/// x·W + b, with an adapter where there is one.
pub struct Linear {
    weight: ParamId,
    bias: Option<ParamId>,
    layout: Weights,
    /// Of input and output. A file may store the matrix with more dimensions, as XLNet's do.
    sizes: [usize; 2],
    adapter: Option<Arc<dyn Adapter>>,
}

/// A linear map to be declared: `NAME.weight` [out, in] and, if it has a bias, `NAME.bias` [out].
pub(crate) struct LinearSpec<'a> {
    name: &'a str,
    sizes: [usize; 2],
    init: Init,
    bias: bool,
    layout: Weights,
    owner: Owner,
}

impl<'a> LinearSpec<'a> {
    /// A map of the trunk without bias, of `sizes` [in, out].
    pub(crate) fn new(name: &'a str, sizes: [usize; 2], init: Init) -> Self {
        Self { name, sizes, init, bias: false, layout: Weights::OutIn, owner: Owner::Trunk }
    }

    /// With a bias of zeros, or without.
    pub(crate) fn bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// Stored otherwise than [out, in].
    pub(crate) fn layout(self, layout: Weights) -> Self {
        Self { layout, ..self }
    }

    /// A part of something else than the trunk.
    pub(crate) fn owner(self, owner: Owner) -> Self {
        Self { owner, ..self }
    }

    /// Declares the parameters.
    pub(crate) fn declare(self, b: &mut Builder) -> Result<Linear> {
        let [inner, out] = self.sizes;
        let shape = match self.layout {
            Weights::OutIn => [out, inner],
            Weights::InOut => [inner, out],
        };
        let name = |end: &str| format!("{}.{end}", self.name);
        let weight = b.declare(self.owner, &name("weight"), &shape, self.init, Role::Linear)?;
        let bias = match self.bias {
            true => Some(b.declare(self.owner, &name("bias"), &[out], Init::Zero, Role::Bias)?),
            false => None,
        };
        Linear::new(b, self.owner, self.name, weight, bias, self.layout, self.sizes)
    }
}

impl Linear {
    /// A map of parameters that are declared already.
    pub(crate) fn new(
        b: &mut Builder,
        owner: Owner,
        name: &str,
        weight: ParamId,
        bias: Option<ParamId>,
        layout: Weights,
        sizes: [usize; 2],
    ) -> Result<Self> {
        let adapter = b.adapter(owner, name, weight, layout, sizes)?;
        Ok(Self { weight, bias, layout, sizes, adapter })
    }

    /// A head's map to its scores, [out, in]. Its losses take the weights themselves, so it has no adapter; a new head
    /// is learned whole.
    pub(crate) fn output(weight: ParamId, bias: Option<ParamId>, sizes: [usize; 2]) -> Self {
        Self { weight, bias, layout: Weights::OutIn, sizes, adapter: None }
    }

    /// The matrix as a variable, in two dimensions.
    pub(crate) fn weight(&self, g: &Graph<'_>) -> Var {
        let weight = g.param(self.weight);
        if weight.shape().len() == 2 {
            return weight;
        }
        let [inner, out] = self.sizes;
        let shape = match self.layout {
            Weights::OutIn => [out, inner],
            Weights::InOut => [inner, out],
        };
        ops::reshape(&weight, shape)
    }

    /// The bias as a variable.
    pub(crate) fn bias(&self, g: &Graph<'_>) -> Option<Var> {
        self.bias.map(|b| g.param(b))
    }

    /// How the matrix is stored.
    pub(crate) fn layout(&self) -> Weights {
        self.layout
    }

    /// Whether nothing is added to x·W + b, so that an op that fuses several maps may take weights and bias.
    pub(crate) fn is_plain(&self) -> bool {
        self.adapter.is_none()
    }

    /// [.., out] of `x` [.., in].
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn apply(&self, g: &Graph<'_>, x: &Var) -> Var {
        self.activated(g, x, Activation::None)
    }

    /// [`apply`](Self::apply), then an activation.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn activated(&self, g: &Graph<'_>, x: &Var, activation: Activation) -> Var {
        let (weight, bias) = (self.weight(g), self.bias(g));
        let map = |activation| ops::linear(x, &weight, bias.as_ref(), self.layout, activation);
        match &self.adapter {
            None => map(activation),
            Some(adapter) => {
                ops::activate(&adapter.apply(g, x, &map(Activation::None)), activation)
            }
        }
    }
}
