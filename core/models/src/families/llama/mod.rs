//! The modern decoder: rotary positions, RMS norm, SwiGLU, grouped queries. Touvron et al. 2023,
//! "LLaMA"; with `qk_norm`, Qwen3 (Yang et al. 2025). Names as in Hugging Face's `llama`, `qwen3`.

use athanor_store::{Error, Result};
use athanor_tensor::{
    ParamId, Var,
    ops::{self, Activation, Qkv, Rotary, Weights},
};
use serde_json::{Map, Value, json};

use super::{Architecture, Builder, Family, Init, Shape, Sizes};
use crate::{
    config::Fields,
    heads::{Layer, Place, Stack, Start, Variant, Width},
    pass::Pass,
};

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "llama",
    model_types: &["llama", "qwen3"],
    class: |model_type| match model_type {
        "qwen3" => "Qwen3",
        _ => "Llama",
    },
    heads: &[
        Variant::new(
            "causal-lm",
            &[Stack::bare(Place::Every, "lm_head.weight", Width::Vocabulary)],
        ),
        Variant::new(
            "sequence",
            &[Stack::bare(Place::LastToken, "score.weight", Width::Labels).starts(Start::Width)],
        ),
        Variant::new(
            "token",
            &[Stack::new(
                Place::Every,
                &[Layer::Drop],
                "score.weight",
                "score.bias",
                Width::Labels,
            )],
        ),
    ],
    inputs: &["position_ids"],
    prefix: "model.",
    intermediate: |hidden| (8 * hidden).div_ceil(3).next_multiple_of(64),
    refuse: |s| {
        let even = (s.hidden / s.heads).is_multiple_of(2);
        (!even).then_some("llama needs an even hidden_size / heads: rotary positions turn pairs")
    },
    config,
    build: |fields, builder| Ok(Box::new(Llama::build(fields, builder)?)),
};

fn config(shape: &Shape) -> Map<String, Value> {
    let value = json!({
        "model_type": if shape.qk_norm { "qwen3" } else { "llama" },
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.hidden / shape.heads.max(1),
        "intermediate_size": shape.intermediate,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": shape.rope_theta,
        "attention_bias": false,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": shape.tied,
    });
    value.as_object().cloned().unwrap_or_default()
}

/// A linear map with an optional bias.
#[derive(Clone, Copy)]
struct Map2 {
    weight: ParamId,
    bias: Option<ParamId>,
}

struct Block {
    norm: ParamId,
    q: Map2,
    k: Map2,
    v: Map2,
    o: Map2,
    qk_norm: Option<[ParamId; 2]>,
    mlp_norm: ParamId,
    gate: Map2,
    up: Map2,
    down: Map2,
}

struct Llama {
    sizes: Sizes,
    epsilon: f32,
    tied: bool,
    rotary: Rotary,
    tokens: ParamId,
    blocks: Vec<Block>,
    norm: ParamId,
}

/// Longest context for which the rotary tables are built at once.
const LARGEST_CONTEXT: usize = 1 << 20;

impl Llama {
    fn build(c: Fields<'_>, b: &mut Builder) -> Result<Self> {
        let qk_norm = c.text("model_type", "llama")? == "qwen3";
        let (hidden, heads) = (c.size("hidden_size", None)?, c.size("num_attention_heads", None)?);
        let sizes = Sizes {
            vocabulary: c.size("vocab_size", None)?,
            context: c.size("max_position_embeddings", Some(2048))?,
            hidden,
            layers: c.size("num_hidden_layers", None)?,
            heads,
            kv_heads: c.size("num_key_value_heads", Some(heads))?,
            head_dim: c.size("head_dim", Some((hidden / heads).max(1)))?,
        };
        check(c, &sizes)?;
        let Sizes { kv_heads, head_dim, .. } = sizes;
        let inner = c.size("intermediate_size", None)?;
        let (attention_bias, mlp_bias) =
            (c.flag("attention_bias", false)?, c.flag("mlp_bias", false)?);
        let std = c.number("initializer_range", 0.02)? as f32;
        let residual = Init::Normal(std / (2.0 * sizes.layers as f32).sqrt());
        let tokens =
            b.trunk("embed_tokens.weight", &[sizes.vocabulary, hidden], Init::Normal(std))?;
        let mut blocks = Vec::new();
        for i in 0..sizes.layers {
            let name = |part: &str| format!("layers.{i}.{part}");
            let mut map =
                |part: &str, inner: usize, out: usize, bias: bool, init| -> Result<Map2> {
                    let weight = b.trunk(&name(&format!("{part}.weight")), &[out, inner], init)?;
                    let bias = if bias {
                        Some(b.trunk(&name(&format!("{part}.bias")), &[out], Init::Zero)?)
                    } else {
                        None
                    };
                    Ok(Map2 { weight, bias })
                };
            let normal = Init::Normal(std);
            let (wide, narrow) = (heads * head_dim, kv_heads * head_dim);
            let [q, k, v, o] = [
                map("self_attn.q_proj", hidden, wide, attention_bias, normal)?,
                map("self_attn.k_proj", hidden, narrow, attention_bias, normal)?,
                map("self_attn.v_proj", hidden, narrow, attention_bias, normal)?,
                map("self_attn.o_proj", wide, hidden, attention_bias, residual)?,
            ];
            let [gate, up, down] = [
                map("mlp.gate_proj", hidden, inner, mlp_bias, normal)?,
                map("mlp.up_proj", hidden, inner, mlp_bias, normal)?,
                map("mlp.down_proj", inner, hidden, mlp_bias, residual)?,
            ];
            let mut norm =
                |part: &str, width| b.trunk(&name(&format!("{part}.weight")), &[width], Init::One);
            blocks.push(Block {
                norm: norm("input_layernorm", hidden)?,
                mlp_norm: norm("post_attention_layernorm", hidden)?,
                qk_norm: if qk_norm {
                    Some([norm("self_attn.q_norm", head_dim)?, norm("self_attn.k_norm", head_dim)?])
                } else {
                    None
                },
                q,
                k,
                v,
                o,
                gate,
                up,
                down,
            });
        }
        let norm = b.trunk("norm.weight", &[hidden], Init::One)?;
        Ok(Self {
            sizes,
            epsilon: c.number("rms_norm_eps", 1e-6)? as f32,
            tied: c.flag("tie_word_embeddings", false)?,
            rotary: Rotary::new(b.device(), sizes.context, &frequencies(c, head_dim)?),
            tokens,
            blocks,
            norm,
        })
    }
}

fn check(c: Fields<'_>, sizes: &Sizes) -> Result<()> {
    let &Sizes { heads, kv_heads, head_dim, context, .. } = sizes;
    if heads % kv_heads != 0 {
        return Err(Error::input(format!(
            "`num_attention_heads` {heads} is not a multiple of `num_key_value_heads` {kv_heads}"
        )));
    }
    if head_dim % 2 != 0 {
        return Err(Error::input(format!(
            "`head_dim` {head_dim} is odd; rotary positions turn pairs"
        )));
    }
    if context > LARGEST_CONTEXT {
        return Err(Error::input(format!(
            "`max_position_embeddings` {context} is above {LARGEST_CONTEXT}"
        )));
    }
    let activation = c.text("hidden_act", "silu")?;
    if activation != "silu" {
        return Err(Error::input(format!(
            "`hidden_act` is {activation:?}, only \"silu\" is computed"
        )));
    }
    c.only("use_sliding_window", false)
}

/// θ^(-2i/dim). Newer transformers keep the base under `rope_parameters`, older ones at the top.
fn frequencies(c: Fields<'_>, dim: usize) -> Result<Vec<f64>> {
    let nested = c.object("rope_parameters").or_else(|| c.object("rope_scaling"));
    let mut theta = c.number("rope_theta", 10_000.0)?;
    if let Some(rope) = nested {
        let kind = rope.text("rope_type", rope.text("type", "default")?)?;
        if kind != "default" {
            return Err(Error::input(format!(
                "rope type {kind:?} is not computed yet, only \"default\""
            )));
        }
        theta = rope.number("rope_theta", theta)?;
    }
    if theta <= 0.0 {
        return Err(Error::input(format!("`rope_theta` is {theta}, it must be above 0")));
    }
    Ok((0..dim / 2).map(|i| theta.powf(-2.0 * i as f64 / dim as f64)).collect())
}

impl Architecture for Llama {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Var {
        let g = pass.graph;
        let Sizes { heads, kv_heads, head_dim, .. } = self.sizes;
        let (batch, time) = pass.input.sizes();
        let scale = 1.0 / (head_dim as f32).sqrt();
        let project = |x: &Var, map: Map2| {
            let bias = map.bias.map(|b| g.param(b));
            ops::linear(x, &g.param(map.weight), bias.as_ref(), Weights::OutIn, Activation::None)
        };
        let norm =
            |x: &Var, y: &Var, w: ParamId| ops::add_rms_norm(x, y, &g.param(w), self.epsilon);
        let mut x = pass.drop(ops::embedding(&g.param(self.tokens), &pass.input.ids));
        let first = self.blocks.first().map_or(self.norm, |b| b.norm);
        let mut normed = ops::rms_norm(&x, &g.param(first), self.epsilon);
        for (i, block) in self.blocks.iter().enumerate() {
            pass.note(&x);
            let split = |x: Var, heads: usize, norm: Option<ParamId>| {
                let x = ops::reshape(&x, [batch, time, heads, head_dim]);
                norm.map_or(x.clone(), |w| ops::rms_norm(&x, &g.param(w), self.epsilon))
            };
            let turn = |x: Var| ops::rotary(&x, &pass.input.positions, &self.rotary);
            let q = turn(split(project(&normed, block.q), heads, block.qk_norm.map(|n| n[0])));
            let k = turn(split(project(&normed, block.k), kv_heads, block.qk_norm.map(|n| n[1])));
            let v = split(project(&normed, block.v), kv_heads, None);
            let seen = pass.attend(i, &Qkv::Separate(&q, &k, &v), heads, kv_heads, scale);
            let attended = pass.drop(project(&seen, block.o));
            (x, normed) = norm(&x, &attended, block.mlp_norm);
            let inner = ops::swiglu(&project(&normed, block.gate), &project(&normed, block.up));
            let fed = pass.drop(project(&inner, block.down));
            let next = self.blocks.get(i + 1).map_or(self.norm, |b| b.norm);
            (x, normed) = norm(&x, &fed, next);
        }
        pass.note(&normed);
        normed
    }

    fn embeddings(&self) -> Vec<ParamId> {
        vec![self.tokens]
    }

    fn tied(&self) -> bool {
        self.tied
    }
}
