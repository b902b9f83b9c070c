//! Gemma 3's text model: Gemma team 2025, "Gemma 3 technical report". Norms before and after each
//! part with gains 1 + w, GeGLU, embeddings times √width, queries and keys normalised, five local
//! layers (sliding window, a rotary base of their own) to each global one. Names and layout as in
//! Hugging Face's `gemma3_text`.

use athanor_tensor::ops::{Rotary, Window};

use super::{
    Family,
    decoder::{self, HEADS, Maps, check_heads, windows},
    parts::*,
    rope,
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
    let window = shape.sliding_window.unwrap_or((shape.context / 4).max(1));
    let kind = |i: usize| {
        if (i + 1).is_multiple_of(PATTERN) { "full_attention" } else { "sliding_attention" }
    };
    let own = json!({
        "query_pre_attn_scalar": shape.hidden / shape.heads.max(1),
        "intermediate_size": shape.intermediate,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "full_attention": { "rope_type": "default", "rope_theta": shape.rope_theta },
            "sliding_attention": { "rope_type": "default", "rope_theta": 10_000.0 },
        },
        "sliding_window": window,
        "layer_types": (0..shape.layers).map(kind).collect::<Vec<_>>(),
    });
    decoder::config("gemma3_text", shape, own)
}

struct Block {
    attention: Attention,
    mlp: GatedMlp,
    /// Before and after attention, before and after the feed-forward part.
    norms: [Norm; 4],
}

struct Gemma3 {
    sizes: Sizes,
    tied: bool,
    global: Rotary,
    local: Rotary,
    tokens: Embedding,
    blocks: Vec<Block>,
    norm: Norm,
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

/// Refuses what Gemma 2 had and Gemma 3 as published has not.
fn check(c: Fields<'_>) -> Result<()> {
    c.only("use_bidirectional_attention", false)?;
    for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if c.has(key) {
            return Err(Error::input(format!("`{key}` is set, which Athanor does not compute"))
                .hint("Gemma 3 as published has none; Gemma 2 had"));
        }
    }
    Ok(())
}

fn sizes(c: Fields<'_>) -> Result<Sizes> {
    let sizes = Sizes {
        hidden: c.size("hidden_size", Some(2304))?,
        vocabulary: c.size("vocab_size", Some(262_208))?,
        context: c.size("max_position_embeddings", Some(131_072))?,
        layers: c.size("num_hidden_layers", Some(26))?,
        heads: c.size("num_attention_heads", Some(8))?,
        kv_heads: c.size("num_key_value_heads", Some(4))?,
        head_dim: c.size("head_dim", Some(256))?,
    };
    check_heads(&sizes)?;
    Ok(sizes)
}

/// The places that a query sees in each layer.
fn layer_windows(c: Fields<'_>, layers: usize) -> Result<Vec<Option<usize>>> {
    let named = c.0.contains_key("sliding_window");
    let window = if named { c.some_size("sliding_window")? } else { Some(4096) };
    let pattern = c.size("sliding_window_pattern", Some(PATTERN))?;
    windows(c, layers, window, |i| (i + 1) % pattern != 0)
}

/// The factor on attention's scores.
fn scale(c: Fields<'_>) -> Result<f32> {
    let scalar = c.number("query_pre_attn_scalar", 256.0)?;
    if scalar <= 0.0 {
        return Err(Error::input(format!("`query_pre_attn_scalar` is {scalar}, not above 0")));
    }
    Ok(1.0 / scalar.sqrt() as f32)
}

impl Gemma3 {
    fn build(c: Fields<'_>, b: &mut Builder) -> Result<Self> {
        check(c)?;
        let sizes = sizes(c)?;
        let Sizes { hidden, head_dim, .. } = sizes;
        let bias = c.flag("attention_bias", false)?;
        let maps = Maps {
            sizes,
            inner: c.size("intermediate_size", Some(9216))?,
            biases: [bias, bias, false],
            std: c.number("initializer_range", 0.02)? as f32,
        };
        let activation = c.activation("hidden_activation", "gelu_pytorch_tanh")?;
        let epsilon = c.number("rms_norm_eps", 1e-6)? as f32;
        let scale = scale(c)?;
        let table = [sizes.vocabulary, hidden];
        let tokens = Embedding::declare(b, "embed_tokens", table, Init::Normal(maps.std))?;
        let norm = |b: &mut Builder, name: &str, width| Norm::rms_from_one(b, name, width, epsilon);
        let mut blocks = b.blocks("layers", sizes.layers, |b| {
            let mut attention = maps.attention(b, scale)?;
            let mlp = maps.mlp(b, activation)?;
            let norms = [
                norm(b, "input_layernorm", hidden)?,
                norm(b, "post_attention_layernorm", hidden)?,
                norm(b, "pre_feedforward_layernorm", hidden)?,
                norm(b, "post_feedforward_layernorm", hidden)?,
            ];
            let query = norm(b, "self_attn.q_norm", head_dim)?;
            attention.norms = Some([query, norm(b, "self_attn.k_norm", head_dim)?]);
            Ok(Block { attention, mlp, norms })
        })?;
        // After the parameters: a file without that many layers has failed by now, before memory was taken for them.
        for (block, window) in blocks.iter_mut().zip(layer_windows(c, sizes.layers)?) {
            block.attention.window = window.map(Window::last);
        }
        let norm = norm(b, "norm", hidden)?;
        let [global, local] = rotaries(c, &sizes, b)?;
        let tied = c.flag("tie_word_embeddings", true)?;
        Ok(Self { sizes, tied, global, local, tokens, blocks, norm })
    }
}

impl Architecture for Gemma3 {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Var {
        let g = pass.graph;
        let tokens = self.tokens.apply(g, &pass.input.ids);
        let mut x = pass.drop(ops::scale(&tokens, (self.sizes.hidden as f32).sqrt()));
        let mut normed = self.blocks.first().map_or(self.norm, |b| b.norms[0]).apply(g, &x);
        for (i, block) in self.blocks.iter().enumerate() {
            pass.note(&x);
            let [_, attended_norm, fed_before, fed_after] = &block.norms;
            let is_local = block.attention.window.is_some();
            let rotary = if is_local { &self.local } else { &self.global };
            let attended = block.attention.apply(pass, i, &normed, Some(rotary));
            let attended = pass.drop(attended_norm.apply(g, &attended));
            (x, normed) = fed_before.add(g, &x, &attended);
            let fed = pass.drop(fed_after.apply(g, &block.mlp.apply(g, &normed)));
            let next = self.blocks.get(i + 1).map_or(self.norm, |b| b.norms[0]);
            (x, normed) = next.add(g, &x, &fed);
        }
        pass.note(&normed);
        normed
    }

    fn embeddings(&self) -> Vec<ParamId> {
        vec![self.tokens.table()]
    }

    fn tied(&self) -> bool {
        self.tied
    }
}
