//! The layers of a head: declared as data, built from a file or at random, applied.

use athanor_store::{Error, Result};
use athanor_tensor::{Graph, Var, ops::Activation};

use crate::{
    architecture::Architecture,
    builder::{Builder, Owner},
    config::Fields,
    layers::{Linear, LinearSpec, Norm},
    parameter::{Init, Role},
};

/// Which hidden states of a row a head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readout {
    /// All.
    Every,
    /// The first token's: BERT's [CLS].
    First,
    /// The last place's, be it padding: XLNet pads on the left.
    Last,
    /// The last token's that is not padding.
    LastToken,
}

/// What follows a map.
#[derive(Clone, Copy, Debug)]
pub enum Activate {
    /// Always this one.
    Fixed(Activation),
    /// The one that a key of config.json names.
    Key(&'static str),
}

/// A layer between the trunk and the scores. `name` is that of its tensors, without `.weight`.
#[derive(Clone, Copy, Debug)]
pub enum Layer {
    /// A linear map to the hidden width, with bias.
    Dense(&'static str, Activate),
    /// The same, but a part of the trunk, as BERT's pooler is.
    Pooler(&'static str, Activate),
    /// A linear map to the width of the embeddings, where that is another.
    ToEmbedding(&'static str, Activate),
    /// Layer norm; its epsilon is config.json's.
    Norm(&'static str),
    /// Dropout in training.
    Drop,
}

/// How many scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One for each token of the vocabulary.
    Vocabulary,
    /// As many as the head has labels.
    Labels,
    /// A fixed number.
    Fixed(usize),
}

/// How the weights of the scores begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Normal with config.json's `initializer_range`.
    Range,
    /// Normal with variance 1 / (width + 1): Ziegler et al. 2019, section 2.1.
    Width,
    /// Zeros.
    Zero,
}

/// The last map, to the scores. Weights over the vocabulary are the input embedding where
/// config.json ties them.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// Name of the weights [width, hidden].
    pub weight: &'static str,
    /// Name of the bias where there is one: with tied weights, and with weights of their own.
    pub bias: Option<[&'static str; 2]>,
    /// How many scores.
    pub width: Width,
    /// How the weights begin.
    pub start: Start,
}

impl Out {
    /// Declares the map from features of `width`.
    fn declare(
        self,
        b: &mut Builder,
        network: &dyn Architecture,
        labels: usize,
        width: usize,
        range: Init,
    ) -> Result<Linear> {
        let count = match self.width {
            Width::Vocabulary => network.sizes().vocabulary,
            Width::Labels => labels,
            Width::Fixed(n) => n,
        };
        let tied = self.width == Width::Vocabulary && network.tied();
        let weight = if tied {
            let table = network.embeddings()[0];
            let narrow = b.params.get(table).shape()[1];
            if narrow != width {
                return Err(Error::input(format!(
                    "tied embeddings of width {narrow} under a head of width {width}"
                )));
            }
            table
        } else {
            let init = match self.start {
                Start::Range => range,
                Start::Zero => Init::Zero,
                Start::Width => Init::Normal(1.0 / (width as f32 + 1.0).sqrt()),
            };
            let owner = match self.width {
                Width::Vocabulary => Owner::RequiredHead,
                _ => Owner::Head,
            };
            b.declare(owner, self.weight, &[count, width], init, Role::Output)?
        };
        let bias = match self.bias {
            Some([with_tied, with_own]) if tied => Some(b.head_bias([with_tied, with_own], count)?),
            Some([with_tied, with_own]) => Some(b.head_bias([with_own, with_tied], count)?),
            None => None,
        };
        Ok(Linear::output(weight, bias, [width, count]))
    }
}

/// The layers from hidden states to one output.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// The output's name in `athanor forward`.
    pub output: &'static str,
    /// What it reads.
    pub readout: Readout,
    /// The layers before the scores.
    pub layers: &'static [Layer],
    /// The scores, if it ends in scores.
    pub out: Option<Out>,
}

impl Stack {
    /// A single map without bias.
    pub const fn bare(readout: Readout, weight: &'static str, width: Width) -> Self {
        let out = Out { weight, bias: None, width, start: Start::Range };
        Self { output: "logits", readout, layers: &[], out: Some(out) }
    }

    /// The same with another start of the scores' weights.
    #[must_use]
    pub const fn starts(self, start: Start) -> Self {
        let out = match self.out {
            Some(out) => Some(Out { start, ..out }),
            None => None,
        };
        Self { out, ..self }
    }

    /// The same under another output's name.
    #[must_use]
    pub const fn gives(self, output: &'static str) -> Self {
        Self { output, ..self }
    }

    /// Names of its tensors, those in the trunk without the trunk's prefix.
    pub(crate) fn tensors(&self) -> Vec<String> {
        let both = |name: &str| [format!("{name}.weight"), format!("{name}.bias")];
        let layers = self.layers.iter().flat_map(|layer| match layer {
            Layer::Drop => Vec::new(),
            Layer::Dense(name, _)
            | Layer::Pooler(name, _)
            | Layer::ToEmbedding(name, _)
            | Layer::Norm(name) => both(name).to_vec(),
        });
        let out = self.out.into_iter().flat_map(|out| {
            std::iter::once(out.weight).chain(out.bias.into_iter().flatten()).map(str::to_owned)
        });
        layers.chain(out).collect()
    }

    /// Whether its parts of the trunk are there.
    pub(crate) fn is_in(&self, builder: &Builder) -> bool {
        self.layers.iter().all(|layer| match layer {
            Layer::Pooler(name, _) => builder.has_pooler(&format!("{name}.weight")),
            _ => true,
        })
    }

    /// Layers, then a map with bias.
    pub const fn new(
        readout: Readout,
        layers: &'static [Layer],
        weight: &'static str,
        bias: &'static str,
        width: Width,
    ) -> Self {
        let out = Out { weight, bias: Some([bias, bias]), width, start: Start::Range };
        Self { output: "logits", readout, layers, out: Some(out) }
    }
}

enum Step {
    Dense(Linear, Activation),
    Norm(Norm),
    Drop,
}

/// What a pass drops of a variable.
pub type DropFn<'a> = &'a mut dyn FnMut(Var) -> Var;

/// A stack with its parameters.
pub(crate) struct Built {
    pub spec: Stack,
    steps: Vec<Step>,
    /// The last map, to the scores.
    out: Option<Linear>,
    /// Whether its weights are the input embedding.
    tied: bool,
}

impl Built {
    pub fn new(
        spec: Stack,
        labels: usize,
        network: &dyn Architecture,
        fields: Fields<'_>,
        b: &mut Builder,
    ) -> Result<Self> {
        let table = network.embeddings()[0];
        let std = Init::Normal(fields.number("initializer_range", 0.02)? as f32);
        let mut width = network.sizes().hidden;
        let mut steps = Vec::new();
        for layer in spec.layers {
            steps.push(match *layer {
                Layer::Drop => Step::Drop,
                Layer::Norm(name) => {
                    let epsilon = fields.number("layer_norm_eps", 1e-12)? as f32;
                    Step::Norm(Norm::layer(b, Owner::Head, name, width, epsilon)?)
                }
                Layer::Dense(name, activate)
                | Layer::Pooler(name, activate)
                | Layer::ToEmbedding(name, activate) => {
                    let activation = match activate {
                        Activate::Fixed(a) => a,
                        Activate::Key(key) => fields.activation(key, "gelu")?,
                    };
                    let (owner, to) = match layer {
                        Layer::ToEmbedding(..) => (Owner::Head, b.params.get(table).shape()[1]),
                        Layer::Pooler(..) => (Owner::Pooler, network.sizes().hidden),
                        _ => (Owner::Head, network.sizes().hidden),
                    };
                    let map = LinearSpec::new(name, [width, to], std).bias(true).owner(owner);
                    width = to;
                    Step::Dense(map.declare(b)?, activation)
                }
            });
        }
        let tied = spec.out.is_some_and(|out| out.width == Width::Vocabulary) && network.tied();
        let out = match spec.out {
            Some(out) => Some(out.declare(b, network, labels, width, std)?),
            None => None,
        };
        Ok(Self { spec, steps, out, tied })
    }

    /// Everything before the scores, of rows [.., hidden].
    pub fn features(&self, g: &Graph<'_>, x: &Var, drop: DropFn<'_>) -> Var {
        self.steps.iter().fold(x.clone(), |x, step| match step {
            Step::Drop => drop(x),
            Step::Norm(norm) => norm.apply(g, &x),
            Step::Dense(map, activation) => map.activated(g, &x, *activation),
        })
    }

    /// The last map, to the scores.
    pub fn out(&self) -> Option<&Linear> {
        self.out.as_ref()
    }

    /// Whether the last map's weights are the input embedding.
    pub fn tied(&self) -> bool {
        self.tied
    }

    /// Scores of features; the features where there are no scores.
    pub fn project(&self, g: &Graph<'_>, features: &Var) -> Var {
        self.out.as_ref().map_or_else(|| features.clone(), |out| out.apply(g, features))
    }
}
