//! Adapters: small maps that are learned beside a linear map; its own weights stay as they are. An adapter is one
//! file here that implements [`Adaptation`] (which linear maps get one, with which parameters) and [`Adapter`]
//! (what it computes). [`Linear`](crate::layers::Linear) applies it, so no family or head knows of any.

mod lora;

use std::sync::Arc;

use athanor_store::Result;
use athanor_tensor::{Graph, ParamId, Params, Tensor, Var, ops::Weights};

use crate::parameter::{Init, Level};

pub use lora::Lora;

/// A linear map that may get an adapter.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its name, without `.weight`.
    pub name: &'a str,
    /// Where in the network it is.
    pub level: Level,
    /// Sizes of its input and output.
    pub sizes: [usize; 2],
    /// How its weights are stored.
    pub layout: Weights,
}

/// Declares a parameter of an adapter: its full name, shape and start.
pub type Declare<'a> = dyn FnMut(&str, &[usize], Init) -> Result<ParamId> + 'a;

/// A method of adapting a model.
pub trait Adaptation: Send + Sync {
    /// Declares the parameters of a linear map's adapter and returns it; none if the map stays as it is.
    ///
    /// # Errors
    /// Those of declaring.
    fn adapter(
        &self,
        target: &Target<'_>,
        declare: &mut Declare<'_>,
    ) -> Result<Option<Arc<dyn Adapter>>>;
}

/// What was added to one linear map.
pub trait Adapter: Send + Sync {
    /// The adapted output [.., out] of the input `x` [.., in] and of `y` [.., out], the map's own x·W + b.
    fn apply(&self, graph: &Graph<'_>, x: &Var, y: &Var) -> Var;

    /// The matrix that computes the same without an adapter, stored as `weight` is.
    fn merged(&self, params: &Params, weight: &Tensor) -> Tensor;
}
