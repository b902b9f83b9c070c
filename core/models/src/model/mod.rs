//! A model: config, parameters, trunk and heads. Opening and saving are in open.rs, scores and losses in scores.rs,
//! what optimisers and accounts ask of parameters in groups.rs, adapters in adapted.rs, a second model over shared
//! parameters in guest.rs.

mod adapted;
mod groups;
mod guest;
mod open;
mod scores;

use std::sync::Arc;

use athanor_store::{Error, Result};
use athanor_tensor::{DType, Device, Ids, ParamId, Params, Var, ops::Mask};
use serde_json::{Map, Value};

use crate::{
    adapters::{Adaptation, Adapter},
    architecture::Architecture,
    cache::KvCache,
    families::Family,
    heads::{Head, HeadNetwork, Variant},
    input::Input,
    left_over::LeftOver,
    parameter::Parameter,
    pass::Pass,
    sizes::Sizes,
};

pub use guest::Guest;

/// A network with its parameters.
///
/// ```
/// use athanor_models::{Head, Input, Model, Pass, Shape, families};
/// use athanor_tensor::{DType, Device, Graph};
///
/// let shape = Shape {
///     vocabulary: 50, context: 16, hidden: 8, layers: 1, heads: 2, kv_heads: 1, intermediate: 12,
///     qk_norm: false, qkv_bias: false, sliding_window: None, tied: true, rope_theta: 10_000.0,
/// };
/// let model = Model::new(families::by_name("llama")?, &shape, Head::CAUSAL_LM, 1, Device::Cpu)?;
/// let input = Input::causal(Device::Cpu, vec![3, 1, 4], 1, 3);
/// let graph = Graph::inference(&model.params);
/// let hidden = model.hidden(&mut Pass::new(&graph, &input));
/// assert_eq!(model.logits(&graph, &hidden).shape()[..], [1, 3, 50]);
/// # Ok::<(), athanor_store::Error>(())
/// ```
pub struct Model {
    /// config.json.
    pub config: Map<String, Value>,
    /// The parameters of trunk, heads, adapters and guest.
    pub params: Params,
    /// Readout and role of each parameter.
    parameters: Vec<Parameter>,
    network: Box<dyn Architecture>,
    family: &'static Family,
    head: HeadNetwork,
    /// Heads that Hugging Face's class has no place for.
    beside: Vec<HeadNetwork>,
    adaptation: Option<Arc<dyn Adaptation>>,
    /// The adapted matrices.
    adapters: Vec<(ParamId, Arc<dyn Adapter>)>,
    left_over: LeftOver,
    device: Device,
}

impl Model {
    /// The family.
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// The sizes.
    pub fn sizes(&self) -> Sizes {
        self.network.sizes()
    }

    /// The head.
    pub fn head(&self) -> Head {
        self.head.head()
    }

    /// What the file held that it was opened from, beyond this model.
    pub fn left_over(&self) -> &LeftOver {
        &self.left_over
    }

    /// Whether a token sees only earlier tokens.
    pub fn causal(&self) -> bool {
        self.network.causal()
    }

    /// Where it lives.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Names the special tokens in config.json.
    pub fn set_tokens(&mut self, bos: u32, eos: u32, pad: u32) {
        for (key, id) in [("bos_token_id", bos), ("eos_token_id", eos), ("pad_token_id", pad)] {
            self.config.insert(key.into(), id.into());
        }
        self.network.set_padding(pad);
    }

    /// A token id of config.json such as `eos_token_id`; the first where it is a list.
    pub fn token(&self, key: &str) -> Option<u32> {
        let value = self.config.get(key)?;
        let id = value.as_array().map_or(Some(value), |a| a.first())?.as_u64()?;
        u32::try_from(id).ok()
    }

    /// An empty cache for `batch` rows of at most `capacity` tokens: in f32, or in bf16 with int8 weights.
    pub fn kv_cache(&self, batch: usize, capacity: usize) -> KvCache {
        let dtype = if self.params.is_quantised() { DType::Bf16 } else { DType::F32 };
        KvCache::new(dtype, self.device, self.sizes(), batch, capacity)
    }

    /// `batch` rows of `time` ids with the family's own positions and mask: each token sees all, or the earlier ones.
    ///
    /// # Panics
    /// If the count does not fit the sizes.
    pub fn input(&self, ids: Vec<i32>, batch: usize, time: usize) -> Input {
        let positions = Ids::new(self.device, self.network.positions(&ids, time), [batch, time]);
        let mask = Mask { causal: self.causal(), ..Mask::default() };
        Input { positions, mask, ..Input::causal(self.device, ids, batch, time) }
    }

    /// Position ids are below this.
    pub fn position_limit(&self) -> usize {
        self.network.position_limit()
    }

    /// Token types are below this; 0 if the family has none.
    pub fn type_limit(&self) -> usize {
        self.network.type_limit()
    }

    /// Hidden states after the last block (and its norm, where the family has one), [batch, time, hidden].
    ///
    /// # Panics
    /// If an id or position is out of range: check what comes from users.
    pub fn hidden(&self, pass: &mut Pass<'_>) -> Var {
        self.network.forward(pass)
    }
}

fn variant(family: &Family, head: Head) -> Result<Variant> {
    family.variant(head.kind()).ok_or_else(|| {
        Error::input(format!("the family {} has no head of the kind {head:?}", family.name))
    })
}

/// What the trunk's names begin with under a head.
fn prefix(family: &Family, head: Head) -> Result<&'static str> {
    let own = variant(family, head)?.prefix;
    Ok(own.unwrap_or(if head == Head::BARE { "" } else { family.prefix }))
}
