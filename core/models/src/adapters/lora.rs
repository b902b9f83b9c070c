//! LoRA: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1: y = W·x + (α/r)·B·A·x
//! with A [rank, in] and B [out, rank]. B begins at 0, so a fresh adapter changes nothing. A begins normal, with the
//! variance of the authors' code (Kaiming uniform with a = √5: 1 / (3·in)).
//!
//! Departure: no dropout on x.

use std::sync::Arc;

use athanor_store::{Error, Result};
use athanor_tensor::{
    Graph, ParamId, Params, Tensor, Var,
    ops::{self, Activation, Weights},
};

use super::{Adaptation, Adapter, Declare, Target};
use crate::parameter::{Init, Level};

/// Low-rank updates of linear maps.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// Rank of the updates.
    pub rank: usize,
    /// Scale of an update, divided by the rank.
    pub alpha: f64,
    /// What the names of the adapted maps of blocks end with, such as `q_proj`; all of them if this is empty.
    pub names: Vec<String>,
}

struct LowRank {
    a: ParamId,
    b: ParamId,
    scale: f32,
    layout: Weights,
}

impl Adaptation for Lora {
    fn adapter(
        &self,
        target: &Target<'_>,
        declare: &mut Declare<'_>,
    ) -> Result<Option<Arc<dyn Adapter>>> {
        if self.rank == 0 {
            return Err(Error::input("the rank of LoRA must be 1 or more"));
        }
        let named = |end: &String| {
            target.name.strip_suffix(end.as_str()).is_some_and(|s| s.is_empty() || s.ends_with('.'))
        };
        let wanted = self.names.is_empty() || self.names.iter().any(named);
        if !wanted || !matches!(target.level, Level::Block(_)) {
            return Ok(None);
        }
        let ([inner, out], name) = (target.sizes, target.name);
        let normal = Init::Normal(1.0 / (3.0 * inner as f32).sqrt());
        let a = declare(&format!("{name}.lora_A.weight"), &[self.rank, inner], normal)?;
        let b = declare(&format!("{name}.lora_B.weight"), &[out, self.rank], Init::Zero)?;
        let scale = (self.alpha / self.rank as f64) as f32;
        Ok(Some(Arc::new(LowRank { a, b, scale, layout: target.layout })))
    }
}

impl Adapter for LowRank {
    fn apply(&self, graph: &Graph<'_>, x: &Var, y: &Var) -> Var {
        let map =
            |x: &Var, id| ops::linear(x, &graph.param(id), None, Weights::OutIn, Activation::None);
        ops::add(y, &ops::scale(&map(&map(x, self.a), self.b), self.scale))
    }

    fn merged(&self, params: &Params, weight: &Tensor) -> Tensor {
        let (a, b) = (params.get(self.a), params.get(self.b));
        let update = match self.layout {
            Weights::OutIn => ops::matmul(b, a, [false, false]),
            Weights::InOut => ops::matmul(a, b, [true, true]),
        };
        let sum = |(w, u): (f32, f32)| w + self.scale * u;
        let values: Vec<f32> = weight.to_vec().into_iter().zip(update.to_vec()).map(sum).collect();
        Tensor::from_slice(weight.device(), &values, *weight.shape())
    }
}
