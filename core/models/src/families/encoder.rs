//! The encoder that BERT, RoBERTa and ELECTRA share: learned positions and token types, and blocks
//! with their norms behind the residual sums (Vaswani et al. 2017, section 5.4; Devlin et al. 2019).

use athanor_store::{Error, Result};
use athanor_tensor::{
    Ids, ParamId, Var,
    ops::{self, Activation, Qkv, Weights},
};
use serde_json::{Map, Value, json};

use super::layers::feed_forward;
use crate::{
    architecture::{Architecture, Shape, Sizes, counted},
    builder::{Builder, Init},
    config::Fields,
    pass::Pass,
};

/// Where positions begin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// At 0.
    Zero,
    /// Behind the padding token's id; padding itself keeps that id as its position: fairseq's way.
    BehindPadding,
}

/// What a family's config.json may leave out.
pub struct Defaults {
    pub hidden: usize,
    pub heads: usize,
    pub inner: usize,
    pub vocabulary: usize,
    /// Width of the embeddings, where it is not always the hidden width.
    pub embedding: Option<usize>,
    pub padding: u32,
    pub positions: Positions,
}

/// BERT's and RoBERTa's.
pub const BASE: Defaults = Defaults {
    hidden: 768,
    heads: 12,
    inner: 3072,
    vocabulary: 30522,
    embedding: None,
    padding: 0,
    positions: Positions::Zero,
};

/// A linear map with bias, and the norm behind it.
#[derive(Clone, Copy)]
struct Affine {
    weight: ParamId,
    bias: ParamId,
}

struct Block {
    query: Affine,
    key: Affine,
    value: Affine,
    attended: Affine,
    attended_norm: Affine,
    up: Affine,
    down: Affine,
    down_norm: Affine,
}

pub struct Encoder {
    sizes: Sizes,
    epsilon: f32,
    activation: Activation,
    tied: bool,
    positions: Positions,
    position_rows: usize,
    type_rows: usize,
    /// Its embedding never learns.
    padding: Option<u32>,
    tables: [ParamId; 3],
    norm: Affine,
    /// From the embeddings' width to the hidden width, where they differ.
    project: Option<Affine>,
    blocks: Vec<Block>,
}

impl Encoder {
    /// Declares the parameters under the names of Hugging Face's BERT.
    pub fn build(c: Fields<'_>, b: &mut Builder, defaults: &Defaults) -> Result<Self> {
        let positions = defaults.positions;
        c.only("is_decoder", false)?;
        c.only("add_cross_attention", false)?;
        let kind = c.text("position_embedding_type", "absolute")?;
        if kind != "absolute" {
            return Err(Error::input(format!(
                "`position_embedding_type` is {kind:?}, only \"absolute\" is computed"
            )));
        }
        let hidden = c.size("hidden_size", Some(defaults.hidden))?;
        let heads = c.size("num_attention_heads", Some(defaults.heads))?;
        if hidden % heads != 0 {
            return Err(Error::input(format!(
                "`hidden_size` {hidden} is not a multiple of `num_attention_heads` {heads}"
            )));
        }
        let vocabulary = c.size("vocab_size", Some(defaults.vocabulary))?;
        let position_rows = c.size("max_position_embeddings", Some(512))?;
        let type_rows = c.size("type_vocab_size", Some(2))?;
        let width = match defaults.embedding {
            Some(width) => c.size("embedding_size", Some(width))?,
            None => hidden,
        };
        let padding = c.token("pad_token_id", Some(defaults.padding))?;
        if let Some(pad) = padding.filter(|&p| p as usize >= vocabulary) {
            return Err(Error::input(format!(
                "`pad_token_id` is {pad}, but `vocab_size` is {vocabulary}"
            )));
        }
        let mut sizes = Sizes {
            vocabulary,
            context: position_rows,
            hidden,
            layers: c.size("num_hidden_layers", Some(12))?,
            heads,
            kv_heads: heads,
            head_dim: hidden / heads,
        };
        sizes.context = context(positions, position_rows, padding)?;
        let inner = c.size("intermediate_size", Some(defaults.inner))?;
        let std = Init::Normal(c.number("initializer_range", 0.02)? as f32);
        let tables = [
            b.trunk("embeddings.word_embeddings.weight", &[vocabulary, width], std)?,
            b.trunk("embeddings.position_embeddings.weight", &[position_rows, width], std)?,
            b.trunk("embeddings.token_type_embeddings.weight", &[type_rows, width], std)?,
        ];
        let mut pair = |name: &str, shape: &[usize], init| -> Result<Affine> {
            Ok(Affine {
                weight: b.trunk(&format!("{name}.weight"), shape, init)?,
                bias: b.trunk(&format!("{name}.bias"), &shape[..1], Init::Zero)?,
            })
        };
        let norm = pair("embeddings.LayerNorm", &[width], Init::One)?;
        let project = match width == hidden {
            true => None,
            false => Some(pair("embeddings_project", &[hidden, width], std)?),
        };
        let mut blocks = Vec::new();
        for i in 0..sizes.layers {
            let mut part = |name: &str, shape: &[usize], init| {
                pair(&format!("encoder.layer.{i}.{name}"), shape, init)
            };
            blocks.push(Block {
                query: part("attention.self.query", &[hidden, hidden], std)?,
                key: part("attention.self.key", &[hidden, hidden], std)?,
                value: part("attention.self.value", &[hidden, hidden], std)?,
                attended: part("attention.output.dense", &[hidden, hidden], std)?,
                attended_norm: part("attention.output.LayerNorm", &[hidden], Init::One)?,
                up: part("intermediate.dense", &[inner, hidden], std)?,
                down: part("output.dense", &[hidden, inner], std)?,
                down_norm: part("output.LayerNorm", &[hidden], Init::One)?,
            });
        }
        Ok(Self {
            sizes,
            epsilon: c.number("layer_norm_eps", 1e-12)? as f32,
            activation: c.activation("hidden_act", "gelu")?,
            tied: c.flag("tie_word_embeddings", true)?,
            positions,
            position_rows,
            type_rows,
            padding,
            tables,
            norm,
            project,
            blocks,
        })
    }
}

/// The longest row.
fn context(positions: Positions, rows: usize, padding: Option<u32>) -> Result<usize> {
    match (positions, padding) {
        (Positions::Zero, _) => Ok(rows),
        (Positions::BehindPadding, Some(pad)) if rows > pad as usize + 1 => {
            Ok(rows - pad as usize - 1)
        }
        (Positions::BehindPadding, Some(pad)) => Err(Error::input(format!(
            "`max_position_embeddings` is {rows}, but positions begin behind `pad_token_id` {pad}"
        ))),
        (Positions::BehindPadding, None) => Err(Error::input(
            "`pad_token_id` is null, but positions are counted from behind the padding token",
        )),
    }
}

/// config.json for a shape, with what all three families have.
pub fn config(model_type: &str, shape: &Shape) -> Map<String, Value> {
    let value = json!({
        "model_type": model_type,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "type_vocab_size": 2,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "tie_word_embeddings": shape.tied,
    });
    value.as_object().cloned().unwrap_or_default()
}

/// What a shape has that an encoder of this kind cannot be.
pub fn refuse(shape: &Shape) -> Option<&'static str> {
    let plain = !shape.qk_norm && shape.kv_heads == shape.heads;
    (!plain).then_some("an encoder of BERT's kind has neither grouped queries nor qk_norm")
}

impl Architecture for Encoder {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Var {
        let g = pass.graph;
        let Sizes { heads, head_dim, .. } = self.sizes;
        let (input, packed) = (pass.input, pass.pack());
        let (batch, time) = match &packed {
            Some(tokens) => (1, tokens.len()),
            None => input.sizes(),
        };
        // Of each token, or of those that are not padding.
        let of = |all: &Ids| match &packed {
            Some(tokens) => {
                let all = all.host();
                let some = tokens.iter().map(|&t| all[t as usize]).collect();
                Ids::new(input.ids.device(), some, [batch, time])
            }
            None => all.clone(),
        };
        let scale = 1.0 / (head_dim as f32).sqrt();
        let map = |x: &Var, a: Affine, activation| {
            ops::linear(x, &g.param(a.weight), Some(&g.param(a.bias)), Weights::OutIn, activation)
        };
        let none = Activation::None;
        let norm = |x: &Var, y: &Var, n: Affine| {
            ops::add_layer_norm(x, y, &g.param(n.weight), Some(&g.param(n.bias)), self.epsilon).1
        };
        let [words, places, types] = self.tables.map(|t| g.param(t));
        let zeros = || Ids::new(input.ids.device(), vec![0; batch * time], [batch, time]);
        let type_ids = input.types.as_ref().map_or_else(zeros, of);
        let padding = self.padding.map(|p| p as i32);
        let word = ops::embedding_with_padding(&words, &of(&input.ids), padding);
        let typed = ops::add(&word, &ops::embedding(&types, &type_ids));
        let fixed = padding.filter(|_| self.positions == Positions::BehindPadding);
        let place = ops::embedding_with_padding(&places, &of(&input.positions), fixed);
        let mut x = pass.drop(norm(&typed, &place, self.norm));
        if let Some(project) = self.project {
            x = map(&x, project, none);
        }
        pass.note(&x);
        for (i, block) in self.blocks.iter().enumerate() {
            let split = |part| ops::reshape(&map(&x, part, none), [batch, time, heads, head_dim]);
            let (q, k, v) = (split(block.query), split(block.key), split(block.value));
            let seen = pass.attend(i, &Qkv::Separate(&q, &k, &v), heads, heads, scale);
            let attended = pass.drop(map(&seen, block.attended, none));
            x = norm(&attended, &x, block.attended_norm);
            let maps = [block.up, block.down].map(|a| [a.weight, a.bias]);
            let fed = pass.drop(feed_forward(g, &x, maps, Weights::OutIn, self.activation));
            x = norm(&fed, &x, block.down_norm);
            pass.note(&x);
        }
        let Some(tokens) = packed else { return x };
        let (batch, time) = input.sizes();
        let tokens = Ids::new(input.ids.device(), tokens, [x.shape()[1]]);
        let whole = ops::spread_rows(&x, &tokens, batch * time);
        ops::reshape(&whole, [batch, time, self.sizes.hidden])
    }

    fn embeddings(&self) -> Vec<ParamId> {
        self.tables.to_vec()
    }

    fn tied(&self) -> bool {
        self.tied
    }

    fn causal(&self) -> bool {
        false
    }

    fn positions(&self, ids: &[i32], time: usize) -> Vec<i32> {
        let pad = match (self.positions, self.padding) {
            (Positions::BehindPadding, Some(pad)) => pad as i32,
            _ => return counted(ids.len(), time),
        };
        let mut positions = Vec::with_capacity(ids.len());
        for row in ids.chunks(time.max(1)) {
            let mut next = pad;
            positions.extend(row.iter().map(|&id| {
                next += i32::from(id != pad);
                if id == pad { pad } else { next }
            }));
        }
        positions
    }

    fn position_limit(&self) -> usize {
        self.position_rows
    }

    fn type_limit(&self) -> usize {
        self.type_rows
    }

    fn set_padding(&mut self, pad: u32) {
        self.padding = Some(pad);
        if let Ok(context) = context(self.positions, self.position_rows, self.padding) {
            self.sizes.context = context;
        }
    }
}
