//! The layers of a head: declared as data, built from a file or by chance, applied.

use athanor_store::{Error, Result};
use athanor_tensor::{
    Graph, ParamId, Var,
    ops::{self, Activation, Weights},
};

use crate::{
    architecture::Architecture,
    builder::{Builder, Init},
    config::Fields,
};

/// Which hidden states of a row a head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
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

/// The layers from hidden states to one output.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// The output's name in `athanor forward`.
    pub output: &'static str,
    /// What it reads.
    pub place: Place,
    /// The layers before the scores.
    pub layers: &'static [Layer],
    /// The scores, if it ends in scores.
    pub out: Option<Out>,
}

impl Stack {
    /// A single map without bias.
    pub const fn bare(place: Place, weight: &'static str, width: Width) -> Self {
        let out = Out { weight, bias: None, width, start: Start::Range };
        Self { output: "logits", place, layers: &[], out: Some(out) }
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

    /// Whether its parts of the trunk are there.
    pub(crate) fn is_in(&self, builder: &Builder) -> bool {
        self.layers.iter().all(|layer| match layer {
            Layer::Pooler(name, _) => builder.has_pooler(&format!("{name}.weight")),
            _ => true,
        })
    }

    /// Layers, then a map with bias.
    pub const fn new(
        place: Place,
        layers: &'static [Layer],
        weight: &'static str,
        bias: &'static str,
        width: Width,
    ) -> Self {
        let out = Out { weight, bias: Some([bias, bias]), width, start: Start::Range };
        Self { output: "logits", place, layers, out: Some(out) }
    }
}

enum Step {
    Dense(ParamId, ParamId, Activation),
    Norm(ParamId, ParamId, f32),
    Drop,
}

/// A stack with its parameters.
pub(crate) struct Built {
    pub spec: Stack,
    steps: Vec<Step>,
    /// Weights over the vocabulary that are the input embedding are not here.
    own: Option<ParamId>,
    bias: Option<ParamId>,
    tied: Option<ParamId>,
}

impl Built {
    pub fn new(
        spec: Stack,
        labels: usize,
        network: &dyn Architecture,
        fields: Fields<'_>,
        b: &mut Builder,
    ) -> Result<Self> {
        let (sizes, table) = (network.sizes(), network.embeddings()[0]);
        let narrow = b.params.get(table).shape()[1];
        let std = fields.number("initializer_range", 0.02)? as f32;
        let mut width = sizes.hidden;
        let mut steps = Vec::new();
        for layer in spec.layers {
            steps.push(match *layer {
                Layer::Drop => Step::Drop,
                Layer::Norm(name) => Step::Norm(
                    b.head(&format!("{name}.weight"), &[width], Init::One)?,
                    b.head(&format!("{name}.bias"), &[width], Init::Zero)?,
                    fields.number("layer_norm_eps", 1e-12)? as f32,
                ),
                Layer::Dense(name, activate)
                | Layer::Pooler(name, activate)
                | Layer::ToEmbedding(name, activate) => {
                    let activation = match activate {
                        Activate::Fixed(a) => a,
                        Activate::Key(key) => fields.activation(key, "gelu")?,
                    };
                    let to = match layer {
                        Layer::ToEmbedding(..) => narrow,
                        _ => sizes.hidden,
                    };
                    let (w, v) = (format!("{name}.weight"), format!("{name}.bias"));
                    let (shape, start) = ([to, width], Init::Normal(std));
                    width = to;
                    match layer {
                        Layer::Pooler(..) => Step::Dense(
                            b.pooler(&w, &shape, start)?,
                            b.pooler(&v, &[to], Init::Zero)?,
                            activation,
                        ),
                        _ => Step::Dense(
                            b.head(&w, &shape, start)?,
                            b.head(&v, &[to], Init::Zero)?,
                            activation,
                        ),
                    }
                }
            });
        }
        let (mut own, mut bias, mut tied) = (None, None, None);
        if let Some(out) = spec.out {
            let count = match out.width {
                Width::Vocabulary => sizes.vocabulary,
                Width::Labels => labels,
                Width::Fixed(n) => n,
            };
            if out.width == Width::Vocabulary && network.tied() {
                if narrow != width {
                    return Err(Error::input(format!(
                        "tied embeddings of width {narrow} under a head of width {width}"
                    )));
                }
                tied = Some(table);
            } else {
                let std = match out.start {
                    Start::Range => std,
                    Start::Width => 1.0 / (width as f32 + 1.0).sqrt(),
                };
                let shape = [count, width];
                own = Some(match out.width {
                    Width::Vocabulary => b.required_head(out.weight, &shape, Init::Normal(std))?,
                    _ => b.head(out.weight, &shape, Init::Normal(std))?,
                });
            }
            if let Some([with_tied, with_own]) = out.bias {
                let name = if tied.is_some() { with_tied } else { with_own };
                let other = if tied.is_some() { with_own } else { with_tied };
                bias = Some(b.head_or(name, other, &[count], Init::Zero)?);
            }
        }
        Ok(Self { spec, steps, own, bias, tied })
    }

    /// Everything before the scores, of rows [.., hidden].
    pub fn features(&self, g: &Graph<'_>, x: &Var, drop: &mut dyn FnMut(Var) -> Var) -> Var {
        self.steps.iter().fold(x.clone(), |x, step| match *step {
            Step::Drop => drop(x),
            Step::Norm(w, b, eps) => ops::layer_norm(&x, &g.param(w), Some(&g.param(b)), eps),
            Step::Dense(w, b, activation) => {
                ops::linear(&x, &g.param(w), Some(&g.param(b)), Weights::OutIn, activation)
            }
        })
    }

    /// The last map's weights [width, hidden].
    pub fn weight(&self) -> Option<ParamId> {
        self.own.or(self.tied)
    }

    /// Weights of its own, not the input embedding.
    pub fn own_weight(&self) -> Option<ParamId> {
        self.own
    }

    pub fn bias(&self) -> Option<ParamId> {
        self.bias
    }

    /// Scores of features; the features where there are no scores.
    pub fn project(&self, g: &Graph<'_>, features: &Var) -> Var {
        let Some(weight) = self.weight() else { return features.clone() };
        let bias = self.bias.map(|b| g.param(b));
        let none = Activation::None;
        ops::linear(features, &g.param(weight), bias.as_ref(), Weights::OutIn, none)
    }
}
