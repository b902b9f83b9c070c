//! The modern decoder: rotary positions, RMS norm, SwiGLU, grouped queries. Touvron et al. 2023,
//! "LLaMA". Names as in Hugging Face's model types, which differ in what they add:
//!
//! | model_type | adds |
//! |---|---|
//! | llama | biases on all maps with `attention_bias`, `mlp_bias`; scaled rotary positions |
//! | mistral | a sliding window in every layer (Jiang et al. 2023) |
//! | qwen2 | biases on queries, keys, values; a sliding window in some layers (Yang et al. 2024) |
//! | qwen3 | RMS norm on queries and keys; `attention_bias`; windows as qwen2 (Yang et al. 2025) |

use athanor_store::Result;
use athanor_tensor::{
    ParamId, Var,
    ops::{self, Activation, Qkv, Rotary},
};
use serde_json::{Map, Value, json};

use super::{
    Family,
    layers::{HEADS, Linear, check_heads, gated, windows},
    rope,
};
use crate::{
    architecture::{Architecture, Shape, Sizes},
    builder::{Builder, Init},
    config::Fields,
    pass::Pass,
};

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "llama",
    model_types: &["llama", "mistral", "qwen2", "qwen3"],
    class: |model_type| match model_type {
        "mistral" => "Mistral",
        "qwen2" => "Qwen2",
        "qwen3" => "Qwen3",
        _ => "Llama",
    },
    heads: HEADS,
    inputs: &["position_ids"],
    prefix: "model.",
    intermediate: |hidden| (8 * hidden).div_ceil(3).next_multiple_of(64),
    refuse: |s| {
        if !(s.hidden / s.heads).is_multiple_of(2) {
            return Some("llama needs an even hidden_size / heads: rotary positions turn pairs");
        }
        let both = s.qk_norm && s.qkv_bias;
        both.then_some("llama has qk_norm (Qwen3) or qkv_bias (Qwen2), not both")
    },
    config,
    build: |fields, builder| Ok(Box::new(Llama::build(fields, builder)?)),
};

fn config(shape: &Shape) -> Map<String, Value> {
    let model_type = match shape {
        Shape { qk_norm: true, .. } => "qwen3",
        Shape { qkv_bias: true, .. } => "qwen2",
        Shape { sliding_window: Some(_), .. } => "mistral",
        _ => "llama",
    };
    let value = json!({
        "model_type": model_type,
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
    let mut map = value.as_object().cloned().unwrap_or_default();
    if model_type != "llama" {
        map.insert("sliding_window".into(), json!(shape.sliding_window));
    }
    if shape.sliding_window.is_some() && model_type != "mistral" {
        map.insert("use_sliding_window".into(), true.into());
        map.insert("max_window_layers".into(), 0.into());
    }
    map
}

struct Block {
    norm: ParamId,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    qk_norm: Option<[ParamId; 2]>,
    mlp_norm: ParamId,
    gate: Linear,
    up: Linear,
    down: Linear,
    window: Option<usize>,
}

struct Llama {
    sizes: Sizes,
    epsilon: f32,
    tied: bool,
    activation: Activation,
    rotary: Rotary,
    tokens: ParamId,
    blocks: Vec<Block>,
    norm: ParamId,
}

/// The places that a query sees in each layer.
fn layer_windows(c: Fields<'_>, model_type: &str, layers: usize) -> Result<Vec<Option<usize>>> {
    let named = c.0.contains_key("sliding_window");
    match model_type {
        "mistral" => {
            let window = if named { c.some_size("sliding_window")? } else { Some(4096) };
            Ok(vec![window; layers])
        }
        "qwen2" | "qwen3" => {
            let used = c.flag("use_sliding_window", false)?;
            let window = if named { c.some_size("sliding_window")? } else { Some(4096) };
            let full = c.some_size("max_window_layers")?;
            let full = full.unwrap_or(if c.has("max_window_layers") { 0 } else { 28 });
            windows(c, layers, window.filter(|_| used), |i| i >= full)
        }
        _ => Ok(vec![None; layers]),
    }
}

impl Llama {
    fn build(c: Fields<'_>, b: &mut Builder) -> Result<Self> {
        let model_type = c.text("model_type", "llama")?;
        let qwen3 = model_type == "qwen3";
        let (hidden, heads) = (c.size("hidden_size", None)?, c.size("num_attention_heads", None)?);
        let head_dim = if qwen3 { 128 } else { (hidden / heads).max(1) };
        let context = match model_type {
            "llama" => 2048,
            "mistral" => 1 << 17,
            _ => 1 << 15,
        };
        let sizes = Sizes {
            vocabulary: c.size("vocab_size", None)?,
            context: c.size("max_position_embeddings", Some(context))?,
            hidden,
            layers: c.size("num_hidden_layers", None)?,
            heads,
            kv_heads: c.size("num_key_value_heads", Some(heads))?,
            head_dim: c.size("head_dim", Some(head_dim))?,
        };
        check_heads(&sizes)?;
        let Sizes { kv_heads, head_dim, .. } = sizes;
        let inner = c.size("intermediate_size", None)?;
        let (qkv_bias, o_bias) = match model_type {
            "qwen2" => (true, false),
            "mistral" => (false, false),
            _ => [c.flag("attention_bias", false)?; 2].into(),
        };
        let mlp_bias = model_type == "llama" && c.flag("mlp_bias", false)?;
        let std = c.number("initializer_range", 0.02)? as f32;
        let residual = Init::Normal(std / (2.0 * sizes.layers as f32).sqrt());
        let tokens =
            b.trunk("embed_tokens.weight", &[sizes.vocabulary, hidden], Init::Normal(std))?;
        let mut blocks = Vec::new();
        for i in 0..sizes.layers {
            let name = |part: &str| format!("layers.{i}.{part}");
            let mut map = |part: &str, sizes: [usize; 2], bias: bool, init| {
                Linear::declare(b, &name(part), sizes, bias, init)
            };
            let normal = Init::Normal(std);
            let (wide, narrow) = (heads * head_dim, kv_heads * head_dim);
            let [q, k, v, o] = [
                map("self_attn.q_proj", [hidden, wide], qkv_bias, normal)?,
                map("self_attn.k_proj", [hidden, narrow], qkv_bias, normal)?,
                map("self_attn.v_proj", [hidden, narrow], qkv_bias, normal)?,
                map("self_attn.o_proj", [wide, hidden], o_bias, residual)?,
            ];
            let [gate, up, down] = [
                map("mlp.gate_proj", [hidden, inner], mlp_bias, normal)?,
                map("mlp.up_proj", [hidden, inner], mlp_bias, normal)?,
                map("mlp.down_proj", [inner, hidden], mlp_bias, residual)?,
            ];
            let mut norm =
                |part: &str, width| b.trunk(&name(&format!("{part}.weight")), &[width], Init::One);
            blocks.push(Block {
                norm: norm("input_layernorm", hidden)?,
                mlp_norm: norm("post_attention_layernorm", hidden)?,
                qk_norm: if qwen3 {
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
                window: None,
            });
        }
        // After the parameters: what a file's tensors do not bear out is not allocated.
        for (block, window) in blocks.iter_mut().zip(layer_windows(c, model_type, sizes.layers)?) {
            block.window = window;
        }
        let norm = b.trunk("norm.weight", &[hidden], Init::One)?;
        let theta = c.number("rope_theta", 10_000.0)?;
        Ok(Self {
            sizes,
            epsilon: c.number("rms_norm_eps", 1e-6)? as f32,
            tied: c.flag("tie_word_embeddings", false)?,
            activation: c.activation("hidden_act", "silu")?,
            rotary: rope::rotary(c, rope::scaling(c), theta, head_dim, sizes.context, b.device())?,
            tokens,
            blocks,
            norm,
        })
    }
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
        let project = |x: &Var, map: Linear| map.apply(g, x);
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
            let qkv = Qkv::Separate(&q, &k, &v);
            let seen = pass.attend_window(i, &qkv, heads, kv_heads, scale, block.window);
            let attended = pass.drop(project(&seen, block.o));
            (x, normed) = norm(&x, &attended, block.mlp_norm);
            let (gate, up) = (project(&normed, block.gate), project(&normed, block.up));
            let fed = pass.drop(project(&gated(&gate, &up, self.activation), block.down));
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
