//! Norms over the last dimension: Ba et al. 2016, "Layer Normalization"; Zhang and Sennrich 2019, "Root Mean
//! Square Layer Normalization".

use athanor_store::Result;
use athanor_tensor::{Graph, ParamId, Var, ops};

use crate::{
    builder::{Builder, Owner},
    parameter::{Init, Role},
};

/// A norm.
#[derive(Clone, Copy)]
pub(crate) struct Norm {
    gain: ParamId,
    kind: Kind,
    epsilon: f32,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Layer norm with this bias.
    Layer(ParamId),
    Rms,
    /// Of root mean squares with gains 1 + w: Gemma's.
    RmsFromOne,
}

impl Norm {
    /// Declares a layer norm: `NAME.weight` and `NAME.bias` [width].
    pub(crate) fn layer(
        b: &mut Builder,
        owner: Owner,
        name: &str,
        width: usize,
        epsilon: f32,
    ) -> Result<Self> {
        let gain = b.declare(owner, &format!("{name}.weight"), &[width], Init::One, Role::Norm)?;
        let bias = b.declare(owner, &format!("{name}.bias"), &[width], Init::Zero, Role::Bias)?;
        Ok(Self { gain, kind: Kind::Layer(bias), epsilon })
    }

    /// Declares a norm of root mean squares of the trunk: `NAME.weight` [width].
    pub(crate) fn rms(b: &mut Builder, name: &str, width: usize, epsilon: f32) -> Result<Self> {
        let gain = b.trunk(&format!("{name}.weight"), &[width], Init::One, Role::Norm)?;
        Ok(Self { gain, kind: Kind::Rms, epsilon })
    }

    /// [`rms`](Self::rms) with the gains 1 + `NAME.weight`.
    pub(crate) fn rms_from_one(
        b: &mut Builder,
        name: &str,
        width: usize,
        epsilon: f32,
    ) -> Result<Self> {
        let gain = b.trunk(&format!("{name}.weight"), &[width], Init::Zero, Role::Norm)?;
        Ok(Self { gain, kind: Kind::RmsFromOne, epsilon })
    }

    /// Of `x` [.., width].
    pub(crate) fn apply(&self, g: &Graph<'_>, x: &Var) -> Var {
        let gain = g.param(self.gain);
        match self.kind {
            Kind::Layer(bias) => ops::layer_norm(x, &gain, Some(&g.param(bias)), self.epsilon),
            Kind::Rms => ops::rms_norm(x, &gain, self.epsilon),
            Kind::RmsFromOne => ops::rms_norm(x, &ops::add_scalar(&gain, 1.0), self.epsilon),
        }
    }

    /// x + y and its norm, both [.., width].
    pub(crate) fn add(&self, g: &Graph<'_>, x: &Var, y: &Var) -> (Var, Var) {
        let gain = g.param(self.gain);
        match self.kind {
            Kind::Layer(bias) => {
                ops::add_layer_norm(x, y, &gain, Some(&g.param(bias)), self.epsilon)
            }
            Kind::Rms => ops::add_rms_norm(x, y, &gain, self.epsilon),
            Kind::RmsFromOne => ops::add_rms_norm(x, y, &ops::add_scalar(&gain, 1.0), self.epsilon),
        }
    }
}
