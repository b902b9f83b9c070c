//! The modern decoder: rotary positions, RMS norm, SwiGLU, grouped queries. Touvron et al. 2023,
//! "LLaMA". Names as in Hugging Face's model types, which differ in what they add:
//!
//! | model_type | adds |
//! |---|---|
//! | llama | biases on all maps with `attention_bias`, `mlp_bias`; scaled rotary positions |
//! | mistral | a sliding window in every layer (Jiang et al. 2023) |
//! | qwen2 | biases on queries, keys, values; a sliding window in some layers (Yang et al. 2024) |
//! | qwen3 | RMS norm on queries and keys; `attention_bias`; windows as qwen2 (Yang et al. 2025) |

use athanor_tensor::ops::{Rotary, Window};

use super::{
    Family,
    decoder::{self, HEADS, Maps, check_heads, pre_norm, windows},
    parts::*,
    rope,
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
    let own = json!({
        "intermediate_size": shape.intermediate,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": shape.rope_theta,
    });
    let mut map = decoder::config(model_type, shape, own);
    if model_type != "llama" {
        map.insert("sliding_window".into(), json!(shape.sliding_window));
    }
    if shape.sliding_window.is_some() && model_type != "mistral" {
        map.insert("use_sliding_window".into(), true.into());
        map.insert("max_window_layers".into(), 0.into());
    }
    map
}

type Block = decoder::Block<Attention, GatedMlp>;

struct Llama {
    sizes: Sizes,
    tied: bool,
    rotary: Rotary,
    tokens: Embedding,
    blocks: Vec<Block>,
    norm: Norm,
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

/// Whether the projections to queries, keys and values have biases, that from attention, and those of the
/// feed-forward part.
fn biases(c: Fields<'_>, model_type: &str) -> Result<[bool; 3]> {
    let [qkv, output] = match model_type {
        "qwen2" => [true, false],
        "mistral" => [false, false],
        _ => [c.flag("attention_bias", false)?; 2],
    };
    Ok([qkv, output, model_type == "llama" && c.flag("mlp_bias", false)?])
}

fn sizes(c: Fields<'_>, model_type: &str) -> Result<Sizes> {
    let (hidden, heads) = (c.size("hidden_size", None)?, c.size("num_attention_heads", None)?);
    let head_dim = if model_type == "qwen3" { 128 } else { (hidden / heads).max(1) };
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
    Ok(sizes)
}

impl Llama {
    fn build(c: Fields<'_>, b: &mut Builder) -> Result<Self> {
        let model_type = c.text("model_type", "llama")?;
        let sizes = sizes(c, model_type)?;
        let Sizes { hidden, head_dim, .. } = sizes;
        let maps = Maps {
            sizes,
            inner: c.size("intermediate_size", None)?,
            biases: biases(c, model_type)?,
            std: c.number("initializer_range", 0.02)? as f32,
        };
        let activation = c.activation("hidden_act", "silu")?;
        let epsilon = c.number("rms_norm_eps", 1e-6)? as f32;
        let table = [sizes.vocabulary, hidden];
        let tokens = Embedding::declare(b, "embed_tokens", table, Init::Normal(maps.std))?;
        let norm = |b: &mut Builder, name: &str, width| Norm::rms(b, name, width, epsilon);
        let mut blocks = b.blocks("layers", sizes.layers, |b| {
            let mut attention = maps.attention(b, 1.0 / (head_dim as f32).sqrt())?;
            let mlp = maps.mlp(b, activation)?;
            let first = norm(b, "input_layernorm", hidden)?;
            let norms = [first, norm(b, "post_attention_layernorm", hidden)?];
            if model_type == "qwen3" {
                let query = norm(b, "self_attn.q_norm", head_dim)?;
                attention.norms = Some([query, norm(b, "self_attn.k_norm", head_dim)?]);
            }
            Ok(Block { norms, attention, mlp })
        })?;
        // After the parameters: a file without that many layers has failed by now, before memory was taken for them.
        for (block, window) in blocks.iter_mut().zip(layer_windows(c, model_type, sizes.layers)?) {
            block.attention.window = window.map(Window::last);
        }
        let norm = norm(b, "norm", hidden)?;
        let theta = c.number("rope_theta", 10_000.0)?;
        let rotary = rope::rotary(c, rope::scaling(c), theta, head_dim, sizes.context, b.device())?;
        let tied = c.flag("tie_word_embeddings", false)?;
        Ok(Self { sizes, tied, rotary, tokens, blocks, norm })
    }
}

impl Architecture for Llama {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Var {
        let x = pass.drop(self.tokens.apply(pass.graph, &pass.input.ids));
        pre_norm(pass, x, &self.blocks, self.norm, |pass, i, attention, normed| {
            attention.apply(pass, i, normed, Some(&self.rotary))
        })
    }

    fn embeddings(&self) -> Vec<ParamId> {
        vec![self.tokens.table()]
    }

    fn tied(&self) -> bool {
        self.tied
    }
}
