//! The feed-forward part of a block.

use athanor_tensor::{
    Graph, Var,
    ops::{self, Activation, Affine},
};

use super::Linear;

/// activation(x·W + b)·V + c: Vaswani et al. 2017, section 3.3.
pub(crate) struct Mlp {
    pub up: Linear,
    pub down: Linear,
    pub activation: Activation,
}

impl Mlp {
    /// [.., hidden] of `x` [.., hidden]. Two plain maps with biases are one op, which keeps less for the backward
    /// pass.
    pub(crate) fn apply(&self, g: &Graph<'_>, x: &Var) -> Var {
        let Self { up, down, activation } = self;
        let fits = up.is_plain() && down.is_plain() && up.layout() == down.layout();
        match (up.bias(g), down.bias(g)) {
            (Some(b), Some(c)) if fits => {
                let (w, v) = (up.weight(g), down.weight(g));
                let up_map = Affine { weight: &w, bias: &b };
                let down_map = Affine { weight: &v, bias: &c };
                ops::feed_forward(x, up_map, down_map, up.layout(), *activation)
            }
            _ => down.apply(g, &self.inner(g, x)),
        }
    }

    /// The inner layer [.., intermediate] of `x` [.., hidden].
    pub(crate) fn inner(&self, g: &Graph<'_>, x: &Var) -> Var {
        self.up.activated(g, x, self.activation)
    }
}

/// (activation(x·G) ⊙ x·U)·D: Shazeer 2020, eq. 5 and 6 (SwiGLU, GeGLU).
pub(crate) struct GatedMlp {
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
    pub activation: Activation,
}

impl GatedMlp {
    /// [.., hidden] of `x` [.., hidden].
    pub(crate) fn apply(&self, g: &Graph<'_>, x: &Var) -> Var {
        let (gate, up) = (self.gate.apply(g, x), self.up.apply(g, x));
        let inner = match self.activation {
            Activation::Silu => ops::swiglu(&gate, &up),
            other => ops::mul(&ops::activate(&gate, other), &up),
        };
        self.down.apply(g, &inner)
    }
}
