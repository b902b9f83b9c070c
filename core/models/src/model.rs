//! A model: config, parameters, trunk and head.

mod guest;

use std::path::Path;

use athanor_store::{Error, Result};
use athanor_tensor::{
    Device, Graph, Ids, ParamId, Params, Tensor, Var,
    ops::{self, Activation, Mask, Weights},
};
use serde_json::{Map, Value, json};

use crate::{
    architecture::{Architecture, Shape, Sizes},
    builder::Builder,
    config::Fields,
    families::{self, Family},
    folder,
    heads::{self, Built, Head, Place, Width},
    parameter::{Parameter, Part, Role},
    pass::{Input, Pass},
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
    /// Trunk, head and, if there is one, value head.
    pub params: Params,
    /// Place and role of each parameter.
    parameters: Vec<Parameter>,
    network: Box<dyn Architecture>,
    family: &'static Family,
    head: Head,
    stacks: Vec<Built>,
    value_head: Option<ParamId>,
    /// Where a guest's own parameters begin.
    guest_from: Option<usize>,
    /// As a guest: the host's parameters that it shares.
    shared: Vec<ParamId>,
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
        Self::from_config(family, (family.config)(shape), head, seed, device)
    }

    /// A model with random parameters, of a config.json.
    ///
    /// # Errors
    /// Input, for a config that the family cannot be.
    pub fn from_config(
        family: &'static Family,
        config: Map<String, Value>,
        head: Head,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        let builder = Builder::random(device, prefix(family, head)?, seed);
        Self::assemble(family, config, head, builder)
    }

    /// Opens a Hugging Face folder (config.json, model.safetensors).
    ///
    /// # Errors
    /// Input, naming the file, and the key or tensor.
    pub fn load(dir: &Path, device: Device) -> Result<Self> {
        Self::load_from(dir, None, None, 0, device)
    }

    /// Opens the trunk of a folder under another head, which starts by chance from `seed` unless the
    /// folder holds it.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_with_head(dir: &Path, head: Head, seed: u64, device: Device) -> Result<Self> {
        Self::load_from(dir, Some(head), None, seed, device)
    }

    /// [`load_with_head`](Self::load_with_head) for a head whose scores have names. The folder's own head
    /// is taken only where it has the same names in the same order; else chance decides.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_labelled(
        dir: &Path,
        head: Head,
        labels: &[String],
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        Self::load_from(dir, Some(head), Some(labels), seed, device)
    }

    fn load_from(
        dir: &Path,
        wanted: Option<Head>,
        labels: Option<&[String]>,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        let mut config = folder::read_config(dir)?;
        let at = |e: Error| e.at(dir.join("config.json").display());
        let family = families::by_model_type(Fields(&config).text("model_type", "").map_err(at)?)
            .map_err(at)?;
        let head = match wanted {
            Some(head) => head,
            None => family.head(&config).map_err(at)?,
        };
        let prefixes = [prefix(family, head).map_err(at)?, family.prefix];
        let tensors = folder::open_tensors(dir)?;
        let mut builder = Builder::loaded(device, prefixes, tensors, seed, wanted.is_none());
        if let Some(labels) = labels {
            if heads::names(&config).as_deref() != Some(labels) {
                builder.forget_head();
            }
            heads::set_names(&mut config, labels);
        }
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
        let (variant, suffix) = (variant(family, head)?, family.suffix(head.kind()));
        let mut stacks = Vec::new();
        for stack in variant.stacks {
            // A trunk without scores is whole without its pooler.
            if stack.out.is_none() && !stack.is_in(&builder) {
                continue;
            }
            stacks.push(Built::new(*stack, head.labels(), &*network, fields, &mut builder)?);
        }
        let name = format!("{}{}", (family.class)(&model_type), suffix.unwrap_or_default());
        config.insert("architectures".into(), json!([name]));
        config.insert("dtype".into(), "float32".into());
        config.shift_remove("torch_dtype");
        head.write(&mut config);
        let device = builder.device();
        let shared = builder.shared();
        let (params, parameters) = builder.finish();
        Ok(Self {
            config,
            params,
            parameters,
            network,
            family,
            head,
            stacks,
            value_head: None,
            guest_from: None,
            shared,
            device,
        })
    }

    /// Writes config.json, generation_config.json and model.safetensors into an existing folder. The
    /// value head is not part of a Hugging Face model and goes to value_head.safetensors.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&self, dir: &Path) -> Result<()> {
        match self.guest_from {
            None => folder::write(dir, &self.config, &self.params, self.value_head),
            Some(own) => {
                let mut params = Params::new();
                for p in self.params.iter().take(own) {
                    params.insert(&p.name, p.value.clone());
                }
                folder::write(dir, &self.config, &params, None)
            }
        }
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
        self.parameters.push(Parameter { part: Part::Head, role: Role::Output });
        Ok(())
    }

    /// The same sizes on [`Device::Plan`], for work that is only gone through on paper: weights stand for those that are
    /// there already.
    ///
    /// # Errors
    /// Input, if the configuration is not one.
    pub fn planned(&self) -> Result<Self> {
        let config = self.config.clone();
        let mut plan = Self::from_config(self.family, config, self.head, 0, Device::Plan)?;
        if self.value_head.is_some() {
            plan.add_value_head(None)?;
        }
        plan.params = plan.params.planned();
        Ok(plan)
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

    /// Whether a token sees only what stands before it.
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

    /// Rows of ids as the model wants them: positions as its family counts them; it sees all, or what
    /// stands before.
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

    pub(crate) fn stacks(&self) -> &[Built] {
        &self.stacks
    }

    /// The first stack, if it ends in scores over the vocabulary.
    fn vocabulary(&self) -> Option<&Built> {
        let first = self.stacks.first()?;
        (first.spec.out?.width == Width::Vocabulary).then_some(first)
    }

    /// The output embedding [vocabulary, hidden], for the fused losses of heads without layers of their
    /// own; [`token_loss`](Self::token_loss) works for all.
    pub fn output(&self, graph: &Graph<'_>) -> Var {
        match self.vocabulary().and_then(Built::out) {
            Some(out) => out.weight(graph),
            None => graph.param(self.network.embeddings()[0]),
        }
    }

    /// The head's first scores of hidden states [.., hidden]: logits over the vocabulary
    /// [.., vocabulary], or as many as there are labels. Hidden states where the head has no scores.
    pub fn logits(&self, graph: &Graph<'_>, hidden: &Var) -> Var {
        self.scores_of(graph, 0, hidden, &mut |x| x)
    }

    /// Scores [rows, labels] of hidden states [rows, hidden], as [`logits`](Self::logits).
    pub fn scores(&self, graph: &Graph<'_>, hidden: &Var) -> Var {
        self.logits(graph, hidden)
    }

    /// The scores of stack `i` (BERT's pretraining head has two: tokens, next sentence) of hidden states
    /// [.., hidden]; `drop` is the pass's dropout.
    pub fn scores_of(
        &self,
        graph: &Graph<'_>,
        i: usize,
        hidden: &Var,
        drop: &mut dyn FnMut(Var) -> Var,
    ) -> Var {
        let Some(stack) = self.stacks.get(i) else { return hidden.clone() };
        stack.project(graph, &stack.features(graph, hidden, drop))
    }

    /// Σ weights[i] · -log p(targets[i]) under the head's first scores of hidden states [rows, hidden],
    /// and each row's log-probability. Whole logits never exist.
    ///
    /// # Panics
    /// If the sizes do not fit or the head has no scores.
    pub fn token_loss(
        &self,
        graph: &Graph<'_>,
        rows: &Var,
        targets: &Ids,
        weights: &[f32],
    ) -> (Var, Tensor) {
        self.stack_loss(graph, 0, rows, targets, weights)
    }

    /// [`token_loss`](Self::token_loss) under the scores of stack `i`.
    ///
    /// # Panics
    /// If the sizes do not fit or there is no such stack.
    pub fn stack_loss(
        &self,
        graph: &Graph<'_>,
        i: usize,
        rows: &Var,
        targets: &Ids,
        weights: &[f32],
    ) -> (Var, Tensor) {
        self.dropped_loss(graph, i, rows, targets, weights, &mut |x| x)
    }

    /// [`stack_loss`](Self::stack_loss) with the head's own dropout, `drop` being the pass's.
    ///
    /// # Panics
    /// If the sizes do not fit or there is no such stack.
    pub fn dropped_loss(
        &self,
        graph: &Graph<'_>,
        i: usize,
        rows: &Var,
        targets: &Ids,
        weights: &[f32],
        drop: &mut dyn FnMut(Var) -> Var,
    ) -> (Var, Tensor) {
        let features = self.stacks[i].features(graph, rows, drop);
        self.loss_of_features(graph, i, &features, targets, weights)
    }

    pub(crate) fn loss_of_features(
        &self,
        graph: &Graph<'_>,
        i: usize,
        features: &Var,
        targets: &Ids,
        weights: &[f32],
    ) -> (Var, Tensor) {
        let stack = &self.stacks[i];
        let Some(out) = stack.out() else { panic!("{:?} has no scores to learn from", self.head) };
        let (w, b) = (out.weight(graph), out.bias(graph));
        ops::linear_bias_cross_entropy(features, &w, b.as_ref(), targets, weights)
    }

    /// The hidden states that stack `i` reads, as rows [n, hidden]: every token's, or one of each row of
    /// `ids` [batch, time].
    ///
    /// # Panics
    /// If there is no such stack.
    pub fn pick(&self, i: usize, hidden: &Var, ids: &[i32]) -> Var {
        let (batch, time) = (hidden.shape()[0], hidden.shape()[1]);
        let at = |place: &dyn Fn(usize) -> usize| {
            self.rows(hidden, (0..batch).map(|b| (b * time + place(b)) as i32).collect())
        };
        match self.stacks[i].spec.place {
            Place::Every => ops::reshape(hidden, [batch * time, hidden.shape()[2]]),
            Place::First => at(&|_| 0),
            Place::Last => at(&|_| time - 1),
            Place::LastToken => {
                let pad = self.token("pad_token_id").map(|p| p as i32);
                at(&|b| {
                    let row = &ids[b * time..(b + 1) * time];
                    // A row of nothing but padding is read at its first place, as in transformers.
                    pad.map_or(time - 1, |pad| row.iter().rposition(|&i| i != pad).unwrap_or(0))
                })
            }
        }
    }

    /// Whether a query stream can be asked for places: XLNet.
    pub fn two_streams(&self) -> bool {
        self.network.two_streams()
    }

    /// Whether the head reads the last token of each row, which only padding marks.
    pub(crate) fn needs_pad(&self) -> bool {
        self.stacks.iter().any(|s| s.spec.place == Place::LastToken)
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

    /// Place and role of the parameter at `index`.
    ///
    /// # Panics
    /// If there is none.
    pub fn parameter(&self, index: usize) -> Parameter {
        self.parameters[index]
    }

    /// Whether the parameter at `index` is a table that is looked up.
    pub fn is_embedding(&self, index: usize) -> bool {
        self.parameter(index).role == Role::Embedding
    }

    /// Whether the parameter at `index` is a matrix between hidden layers: neither embedding nor head.
    pub fn is_hidden_matrix(&self, index: usize) -> bool {
        let matrix = self.params.iter().nth(index).is_some_and(|p| p.value.shape().len() == 2);
        matrix && !matches!(self.parameter(index).role, Role::Embedding | Role::Output)
    }

    /// How far up the parameter at `index` stands: 0 for the embeddings and what is with them, 1 for the
    /// first block, up to the number of blocks and 1 more for what is above them, the head among it.
    pub fn depth(&self, index: usize) -> usize {
        self.parameter(index).depth(self.sizes().layers)
    }

    /// Floating-point operations of one training step per token at a context of `time`: 6 for each
    /// parameter of a matrix product, and causal attention (PaLM, Chowdhery et al. 2022, appendix B).
    pub fn flops_per_token(&self, time: usize) -> f64 {
        let Sizes { vocabulary, hidden, layers, heads, head_dim, .. } = self.sizes();
        let matrices: usize = self
            .params
            .iter()
            .zip(&self.parameters)
            .filter(|(p, known)| known.role != Role::Embedding && p.value.shape().len() >= 2)
            .map(|(p, _)| p.value.len())
            .sum();
        let tied = self.vocabulary().is_some_and(Built::tied);
        let output = if tied { vocabulary * hidden } else { 0 };
        6.0 * (matrices + output) as f64 + 6.0 * (layers * heads * head_dim * time) as f64
    }
}

fn variant(family: &Family, head: Head) -> Result<crate::heads::Variant> {
    family.variant(head.kind()).ok_or_else(|| {
        Error::input(format!("the family {} has no head of the kind {head:?}", family.name))
    })
}

/// What the trunk's names begin with under a head.
fn prefix(family: &Family, head: Head) -> Result<&'static str> {
    let own = variant(family, head)?.prefix;
    Ok(own.unwrap_or(if head == Head::BARE { "" } else { family.prefix }))
}
