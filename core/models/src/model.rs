//! A model: config, parameters, trunk and head.

use std::path::Path;

use athanor_store::{Error, Result};
use athanor_tensor::{
    Device, Graph, Ids, ParamId, Params, Tensor, Var,
    ops::{self, Activation, Weights},
};
use serde_json::{Map, Value, json};

use crate::{
    config::Fields,
    families::{self, Architecture, Builder, Family, Init, Shape, Sizes},
    folder,
    heads::Head,
    pass::Pass,
};

/// A network with its parameters.
///
/// ```
/// use athanor_models::{Head, Input, Model, Pass, Shape, families};
/// use athanor_tensor::{Device, Graph};
///
/// let shape = Shape {
///     vocabulary: 50, context: 16, hidden: 8, layers: 1, heads: 2, kv_heads: 1, intermediate: 12,
///     qk_norm: false, qkv_bias: false, sliding_window: None, tied: true, rope_theta: 10_000.0,
/// };
/// let model = Model::new(families::by_name("llama")?, &shape, Head::CausalLm, 1, Device::Cpu)?;
/// let input = Input::causal(Device::Cpu, vec![3, 1, 4], 1, 3);
/// let graph = Graph::inference(&model.params);
/// let hidden = model.hidden(&mut Pass::new(&graph, &input));
/// assert_eq!(model.logits(&graph, &hidden).shape()[..], [1, 3, 50]);
/// # Ok::<(), athanor_store::Error>(())
/// ```
pub struct Model {
    /// config.json.
    pub config: Map<String, Value>,
    /// Trunk, head and, if there is one, value head.
    pub params: Params,
    network: Box<dyn Architecture>,
    family: &'static Family,
    head: Head,
    head_weight: Option<ParamId>,
    value_head: Option<ParamId>,
    device: Device,
}

/// Name of the value head that reinforcement learning adds to a policy.
pub const VALUE_HEAD: &str = "value_head.weight";

impl Model {
    /// A model with random parameters.
    ///
    /// # Errors
    /// Input, for sizes that do not fit each other.
    pub fn new(
        family: &'static Family,
        shape: &Shape,
        head: Head,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        let builder = Builder::random(device, family.prefix, seed);
        Self::assemble(family, (family.config)(shape), head, builder)
    }

    /// Opens a Hugging Face folder (config.json, model.safetensors).
    ///
    /// # Errors
    /// Input, naming the file, and the key or tensor.
    pub fn load(dir: &Path, device: Device) -> Result<Self> {
        let config = folder::read_config(dir)?;
        let head = folder::head_of(&config, dir)?;
        Self::load_from(dir, config, head, 0, device)
    }

    /// Opens the trunk of a folder under another head, which starts by chance from `seed` unless the
    /// folder holds it.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_with_head(dir: &Path, head: Head, seed: u64, device: Device) -> Result<Self> {
        Self::load_from(dir, folder::read_config(dir)?, head, seed, device)
    }

    fn load_from(
        dir: &Path,
        config: Map<String, Value>,
        head: Head,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        let at = |e: Error| e.at(dir.join("config.json").display());
        let family = families::by_model_type(Fields(&config).text("model_type", "").map_err(at)?)
            .map_err(at)?;
        let tensors = folder::read_tensors(dir)?;
        let builder = Builder::loaded(device, family.prefix, tensors, seed);
        Self::assemble(family, config, head, builder).map_err(|e| e.at(dir.display()))
    }

    fn assemble(
        family: &'static Family,
        mut config: Map<String, Value>,
        head: Head,
        mut builder: Builder,
    ) -> Result<Self> {
        let fields = Fields(&config);
        let model_type = fields.text("model_type", "")?.to_owned();
        let network = (family.build)(fields, &mut builder)?;
        let Sizes { hidden, vocabulary, .. } = network.sizes();
        let head_weight = match head {
            Head::CausalLm if network.tied() => None,
            Head::CausalLm => Some(builder.head(
                "lm_head.weight",
                &[vocabulary, hidden],
                Init::Normal(0.02),
                false,
            )?),
            // Ziegler et al. 2019, section 2.1: normal with variance 1 / (width + 1).
            Head::Sequence { labels } => {
                let std = 1.0 / (hidden as f32 + 1.0).sqrt();
                Some(builder.head("score.weight", &[labels, hidden], Init::Normal(std), true)?)
            }
        };
        let name = (family.architectures)(&model_type, head).ok_or_else(|| {
            Error::input(format!("`{model_type}` has no head of the kind {head:?}"))
        })?;
        config.insert("architectures".into(), json!([name]));
        config.insert("dtype".into(), "float32".into());
        config.shift_remove("torch_dtype");
        head.write(&mut config);
        let device = builder.device();
        Ok(Self {
            config,
            params: builder.params,
            network,
            family,
            head,
            head_weight,
            value_head: None,
            device,
        })
    }

    /// Writes config.json, generation_config.json and model.safetensors into an existing folder. The
    /// value head is not part of a Hugging Face model and goes to value_head.safetensors.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&self, dir: &Path) -> Result<()> {
        folder::write(dir, &self.config, &self.params, self.value_head)
    }

    /// Adds a value head of zeros (a value of 0 everywhere, as in Ziegler et al.'s code), or the one
    /// that [`Model::save`] left in `dir`.
    ///
    /// # Errors
    /// Those of reading.
    pub fn add_value_head(&mut self, dir: Option<&Path>) -> Result<()> {
        let hidden = self.sizes().hidden;
        let saved = dir.map(|d| d.join(folder::VALUE_FILE)).filter(|p| p.exists());
        let value = match saved {
            Some(path) => folder::read_value_head(&path, hidden, self.device)?,
            None => Tensor::zeros(self.device, [1, hidden]),
        };
        self.value_head = Some(self.params.insert(VALUE_HEAD, value));
        Ok(())
    }

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
        self.head
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
    }

    /// A token id of config.json such as `eos_token_id`; the first where it is a list.
    pub fn token(&self, key: &str) -> Option<u32> {
        let value = self.config.get(key)?;
        let id = value.as_array().map_or(Some(value), |a| a.first())?.as_u64()?;
        u32::try_from(id).ok()
    }

    /// Hidden states after the final norm, [batch, time, hidden].
    ///
    /// # Panics
    /// If an id or position is out of range: check what comes from users.
    pub fn hidden(&self, pass: &mut Pass<'_>) -> Var {
        self.network.forward(pass)
    }

    /// The output embedding [vocabulary, hidden], for the fused losses.
    pub fn output(&self, graph: &Graph<'_>) -> Var {
        graph.param(match (self.head, self.head_weight) {
            (Head::CausalLm, Some(weight)) => weight,
            _ => self.network.embeddings()[0],
        })
    }

    /// Next-token logits [.., vocabulary] of hidden states.
    pub fn logits(&self, graph: &Graph<'_>, hidden: &Var) -> Var {
        ops::linear(hidden, &self.output(graph), None, Weights::OutIn, Activation::None)
    }

    /// Scores [rows, labels] of hidden states [rows, hidden].
    ///
    /// # Panics
    /// If the model has no sequence head.
    pub fn scores(&self, graph: &Graph<'_>, hidden: &Var) -> Var {
        ops::linear(hidden, &self.score_weight(graph), None, Weights::OutIn, Activation::None)
    }

    /// The sequence head's weights [labels, hidden].
    ///
    /// # Panics
    /// If the model has no sequence head.
    pub fn score_weight(&self, graph: &Graph<'_>) -> Var {
        match (self.head, self.head_weight) {
            (Head::Sequence { .. }, Some(weight)) => graph.param(weight),
            _ => panic!("a model with {:?} has no sequence head", self.head),
        }
    }

    /// Values [rows] of hidden states [rows, hidden].
    ///
    /// # Panics
    /// If no value head was added.
    pub fn values(&self, graph: &Graph<'_>, hidden: &Var) -> Var {
        let weight = self.value_head.expect("values() needs a value head");
        let rows = hidden.value().len() / self.sizes().hidden;
        ops::reshape(
            &ops::linear(hidden, &graph.param(weight), None, Weights::OutIn, Activation::None),
            [rows],
        )
    }

    /// Row `rows[i]` of hidden states [batch, time, hidden] flattened to [batch·time, hidden].
    pub fn rows(&self, hidden: &Var, rows: Vec<i32>) -> Var {
        let width = self.sizes().hidden;
        let flat = ops::reshape(hidden, [hidden.value().len() / width, width]);
        let count = rows.len();
        ops::embedding(&flat, &Ids::new(self.device, rows, [count]))
    }

    /// Whether the parameter at `index` is a table that is looked up.
    pub fn is_embedding(&self, index: usize) -> bool {
        self.network.embeddings().into_iter().any(|e| e.index() == index)
    }

    /// Whether the parameter at `index` is a matrix between hidden layers: neither embedding nor head.
    pub fn is_hidden_matrix(&self, index: usize) -> bool {
        let outer =
            self.network.embeddings().into_iter().chain(self.head_weight).chain(self.value_head);
        let matrix = self.params.iter().nth(index).is_some_and(|p| p.value.shape().len() == 2);
        matrix && outer.map(ParamId::index).all(|i| i != index)
    }

    /// Floating-point operations of one training step per token at a context of `time`: 6 for each
    /// parameter of a matrix product, and causal attention (PaLM, Chowdhery et al. 2022, appendix B).
    pub fn flops_per_token(&self, time: usize) -> f64 {
        let Sizes { vocabulary, hidden, layers, heads, head_dim, .. } = self.sizes();
        let embeddings: Vec<usize> =
            self.network.embeddings().into_iter().map(ParamId::index).collect();
        let matrices: usize = self
            .params
            .iter()
            .enumerate()
            .filter(|(i, p)| !embeddings.contains(i) && p.value.shape().len() == 2)
            .map(|(_, p)| p.value.len())
            .sum();
        let output = if self.head_weight.is_none() { vocabulary * hidden } else { 0 };
        6.0 * (matrices + output) as f64 + 6.0 * (layers * heads * head_dim * time) as f64
    }
}
