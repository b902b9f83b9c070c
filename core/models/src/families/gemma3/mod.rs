//! Gemma 3's text model: Gemma team 2025, "Gemma 3 technical report". Norms before and after each
//! part with gains 1 + w, GeGLU, embeddings times √width, queries and keys normalised, five local
//! layers (sliding window, a rotary base of their own) to each global one. Names and layout as in
//! Hugging Face's `gemma3_text`.

use athanor_store::{Error, Result};
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
    name: "gemma3",
    model_types: &["gemma3_text"],
    class: |_| "Gemma3",
    heads: &[HEADS[0], HEADS[1].named("TextForSequenceClassification")],
    inputs: &["position_ids"],
    prefix: "model.",
    intermediate: |hidden| 4 * hidden,
    refuse: |s| {
        if !(s.hidden / s.heads).is_multiple_of(2) {
            return Some("gemma3 needs an even hidden_size / heads: rotary positions turn pairs");
        }
        s.qkv_bias.then_some("gemma3 has no qkv_bias")
    },
    config,
    build: |fields, builder| Ok(Box::new(Gemma3::build(fields, builder)?)),
};

/// Published models make every sixth layer global.
const PATTERN: usize = 6;

fn config(shape: &Shape) -> Map<String, Value> {
    let head_dim = shape.hidden / shape.heads.max(1);
    let window = shape.sliding_window.unwrap_or((shape.context / 4).max(1));
    let kind = |i: usize| {
        if (i + 1).is_multiple_of(PATTERN) { "full_attention" } else { "sliding_attention" }
    };
    let value = json!({
        "model_type": "gemma3_text",
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": head_dim,
        "query_pre_attn_scalar": head_dim,
        "intermediate_size": shape.intermediate,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "full_attention": { "rope_type": "default", "rope_theta": shape.rope_theta },
            "sliding_attention": { "rope_type": "default", "rope_theta": 10_000.0 },
        },
        "sliding_window": window,
        "layer_types": (0..shape.layers).map(kind).collect::<Vec<_>>(),
        "attention_bias": false,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": shape.tied,
    });
    value.as_object().cloned().unwrap_or_default()
}

struct Block {
    /// Before and after attention, before and after the feed-forward part.
    norms: [ParamId; 4],
    qk_norm: [ParamId; 2],
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
    /// A local layer's window.
    window: Option<usize>,
}

struct Gemma3 {
    sizes: Sizes,
    epsilon: f32,
    scale: f32,
    tied: bool,
    activation: Activation,
    global: Rotary,
    local: Rotary,
    tokens: ParamId,
    blocks: Vec<Block>,
    norm: ParamId,
}

/// Global and local tables. transformers 5 has an object for each kind in `rope_parameters`, before
/// it was `rope_theta` with `rope_scaling`, and `rope_local_base_freq`.
fn rotaries(c: Fields<'_>, sizes: &Sizes, b: &Builder) -> Result<[Rotary; 2]> {
    let nested = |kind| c.object("rope_parameters").and_then(|r| r.object(kind));
    let make =
        |rope, theta| rope::rotary(c, rope, theta, sizes.head_dim, sizes.context, b.device());
    let global = nested("full_attention").or_else(|| c.object("rope_scaling"));
    Ok([
        make(global, c.number("rope_theta", 1_000_000.0)?)?,
        make(nested("sliding_attention"), c.number("rope_local_base_freq", 10_000.0)?)?,
    ])
}

impl Gemma3 {
    fn build(c: Fields<'_>, b: &mut Builder) -> Result<Self> {
        c.only("use_bidirectional_attention", false)?;
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if c.has(key) {
                return Err(Error::input(format!(
                    "`{key}` is set, which Athanor does not compute"
                ))
                .hint("Gemma 3 as published has none; Gemma 2 had"));
            }
        }
        let hidden = c.size("hidden_size", Some(2304))?;
        let sizes = Sizes {
            vocabulary: c.size("vocab_size", Some(262_208))?,
            context: c.size("max_position_embeddings", Some(131_072))?,
            hidden,
            layers: c.size("num_hidden_layers", Some(26))?,
            heads: c.size("num_attention_heads", Some(8))?,
            kv_heads: c.size("num_key_value_heads", Some(4))?,
            head_dim: c.size("head_dim", Some(256))?,
        };
        check_heads(&sizes)?;
        let Sizes { heads, kv_heads, head_dim, .. } = sizes;
        let inner = c.size("intermediate_size", Some(9216))?;
        let bias = c.flag("attention_bias", false)?;
        let std = c.number("initializer_range", 0.02)? as f32;
        let residual = Init::Normal(std / (2.0 * sizes.layers as f32).sqrt());
        let normal = Init::Normal(std);
        let tokens = b.trunk("embed_tokens.weight", &[sizes.vocabulary, hidden], normal)?;
        let mut blocks = Vec::new();
        for i in 0..sizes.layers {
            let name = |part: &str| format!("layers.{i}.{part}");
            let mut map = |part: &str, sizes: [usize; 2], bias: bool, init| {
                Linear::declare(b, &name(part), sizes, bias, init)
            };
            let (wide, narrow) = (heads * head_dim, kv_heads * head_dim);
            let [q, k, v, o, gate, up, down] = [
                map("self_attn.q_proj", [hidden, wide], bias, normal)?,
                map("self_attn.k_proj", [hidden, narrow], bias, normal)?,
                map("self_attn.v_proj", [hidden, narrow], bias, normal)?,
                map("self_attn.o_proj", [wide, hidden], bias, residual)?,
                map("mlp.gate_proj", [hidden, inner], false, normal)?,
                map("mlp.up_proj", [hidden, inner], false, normal)?,
                map("mlp.down_proj", [inner, hidden], false, residual)?,
            ];
            // Gains are 1 + w, so w begins at 0.
            let mut norm =
                |part: &str, width| b.trunk(&name(&format!("{part}.weight")), &[width], Init::Zero);
            blocks.push(Block {
                norms: [
                    norm("input_layernorm", hidden)?,
                    norm("post_attention_layernorm", hidden)?,
                    norm("pre_feedforward_layernorm", hidden)?,
                    norm("post_feedforward_layernorm", hidden)?,
                ],
                qk_norm: [norm("self_attn.q_norm", head_dim)?, norm("self_attn.k_norm", head_dim)?],
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
        let named = c.0.contains_key("sliding_window");
        let window = if named { c.some_size("sliding_window")? } else { Some(4096) };
        let pattern = c.size("sliding_window_pattern", Some(PATTERN))?;
        let all = windows(c, sizes.layers, window, |i| (i + 1) % pattern != 0)?;
        for (block, window) in blocks.iter_mut().zip(all) {
            block.window = window;
        }
        let norm = b.trunk("norm.weight", &[hidden], Init::Zero)?;
        let scalar = c.number("query_pre_attn_scalar", 256.0)?;
        if scalar <= 0.0 {
            return Err(Error::input(format!("`query_pre_attn_scalar` is {scalar}, not above 0")));
        }
        let [global, local] = rotaries(c, &sizes, b)?;
        Ok(Self {
            sizes,
            epsilon: c.number("rms_norm_eps", 1e-6)? as f32,
            scale: 1.0 / scalar.sqrt() as f32,
            tied: c.flag("tie_word_embeddings", true)?,
            activation: c.activation("hidden_activation", "gelu_pytorch_tanh")?,
            global,
            local,
            tokens,
            blocks,
            norm,
        })
    }
}

impl Architecture for Gemma3 {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Var {
        let g = pass.graph;
        let Sizes { heads, kv_heads, head_dim, hidden, .. } = self.sizes;
        let (batch, time) = pass.input.sizes();
        let gain = |w: ParamId| ops::add_scalar(&g.param(w), 1.0);
        let norm = |x: &Var, w: ParamId| ops::rms_norm(x, &gain(w), self.epsilon);
        let add_norm =
            |x: &Var, y: &Var, w: ParamId| ops::add_rms_norm(x, y, &gain(w), self.epsilon);
        let tokens = ops::embedding(&g.param(self.tokens), &pass.input.ids);
        let mut x = pass.drop(ops::scale(&tokens, (hidden as f32).sqrt()));
        let mut normed = norm(&x, self.blocks.first().map_or(self.norm, |b| b.norms[0]));
        for (i, block) in self.blocks.iter().enumerate() {
            pass.note(&x);
            let rotary = if block.window.is_some() { &self.local } else { &self.global };
            let split = |x: Var, heads: usize| ops::reshape(&x, [batch, time, heads, head_dim]);
            let turn = |x: Var, w| ops::rotary(&norm(&x, w), &pass.input.positions, rotary);
            let q = turn(split(block.q.apply(g, &normed), heads), block.qk_norm[0]);
            let k = turn(split(block.k.apply(g, &normed), kv_heads), block.qk_norm[1]);
            let v = split(block.v.apply(g, &normed), kv_heads);
            let qkv = Qkv::Separate(&q, &k, &v);
            let seen = pass.attend_window(i, &qkv, heads, kv_heads, self.scale, block.window);
            let attended = pass.drop(norm(&block.o.apply(g, &seen), block.norms[1]));
            (x, normed) = add_norm(&x, &attended, block.norms[2]);
            let (gate, up) = (block.gate.apply(g, &normed), block.up.apply(g, &normed));
            let fed = block.down.apply(g, &gated(&gate, &up, self.activation));
            let fed = pass.drop(norm(&fed, block.norms[3]));
            let next = self.blocks.get(i + 1).map_or(self.norm, |b| b.norms[0]);
            (x, normed) = add_norm(&x, &fed, next);
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
