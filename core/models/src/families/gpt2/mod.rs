//! GPT-2: Radford et al. 2019, "Language models are unsupervised multitask learners"; a pre-norm
//! Transformer decoder with learned positions. Names and layout as in Hugging Face's `gpt2`.

use athanor_tensor::ops::{Qkv, Weights};

use super::{
    Family,
    decoder::{self, HEADS, pre_norm},
    parts::*,
};

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "gpt2",
    model_types: &["gpt2"],
    class: |_| "GPT2",
    heads: &[HEADS[0].named("LMHeadModel"), HEADS[1]],
    inputs: &["position_ids"],
    prefix: "transformer.",
    intermediate: |hidden| 4 * hidden,
    refuse: |s| {
        let plain =
            !s.qk_norm && !s.qkv_bias && s.sliding_window.is_none() && s.kv_heads == s.heads;
        (!plain).then_some(
            "gpt2 has no grouped queries, qk_norm, qkv_bias or sliding_window; family = \"llama\" has",
        )
    },
    config,
    build: |fields, builder| Ok(Box::new(Gpt2::build(fields, builder)?)),
};

fn config(shape: &Shape) -> Map<String, Value> {
    object(json!({
        "model_type": "gpt2",
        "vocab_size": shape.vocabulary,
        "n_positions": shape.context,
        "n_embd": shape.hidden,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_inner": shape.intermediate,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "initializer_range": 0.02,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "tie_word_embeddings": shape.tied,
    }))
}

struct Packed {
    /// To queries, keys and values in one.
    qkv: Linear,
    output: Linear,
}

type Block = decoder::Block<Packed, Mlp>;

struct Gpt2 {
    sizes: Sizes,
    tied: bool,
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: Norm,
}

fn sizes(c: Fields<'_>) -> Result<Sizes> {
    let (hidden, heads) = (c.size("n_embd", Some(768))?, c.size("n_head", Some(12))?);
    if hidden % heads != 0 {
        return Err(Error::input(format!(
            "`n_embd` {hidden} is not a multiple of `n_head` {heads}"
        )));
    }
    Ok(Sizes {
        vocabulary: c.size("vocab_size", Some(50257))?,
        context: c.size("n_positions", Some(1024))?,
        hidden,
        layers: c.size("n_layer", Some(12))?,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
    })
}

impl Gpt2 {
    fn build(c: Fields<'_>, b: &mut Builder) -> Result<Self> {
        let sizes = sizes(c)?;
        let hidden = sizes.hidden;
        let inner = c.size("n_inner", Some(4 * hidden))?;
        let activation = c.activation("activation_function", "gelu_new")?;
        let epsilon = c.number("layer_norm_epsilon", 1e-5)? as f32;
        let std = c.number("initializer_range", 0.02)? as f32;
        let normal = Init::Normal(std);
        // Radford et al., section 2.3: residual projections start smaller by the root of their number.
        let residual = Init::Normal(std / (2.0 * sizes.layers as f32).sqrt());
        let tokens = Embedding::declare(b, "wte", [sizes.vocabulary, hidden], normal)?;
        let positions = Embedding::declare(b, "wpe", [sizes.context, hidden], normal)?;
        let map = |b: &mut Builder, name: &str, sizes: [usize; 2], init| {
            LinearSpec::new(name, sizes, init).bias(true).layout(Weights::InOut).declare(b)
        };
        let norm = |b: &mut Builder, name| Norm::layer(b, Owner::Trunk, name, hidden, epsilon);
        let blocks = b.blocks("h", sizes.layers, |b| {
            let first = norm(b, "ln_1")?;
            let attention = Packed {
                qkv: map(b, "attn.c_attn", [hidden, 3 * hidden], normal)?,
                output: map(b, "attn.c_proj", [hidden, hidden], residual)?,
            };
            Ok(Block {
                norms: [first, norm(b, "ln_2")?],
                attention,
                mlp: Mlp {
                    up: map(b, "mlp.c_fc", [hidden, inner], normal)?,
                    down: map(b, "mlp.c_proj", [inner, hidden], residual)?,
                    activation,
                },
            })
        })?;
        let tied = c.flag("tie_word_embeddings", true)?;
        Ok(Self { sizes, tied, tokens, positions, blocks, norm: norm(b, "ln_f")? })
    }
}

impl Architecture for Gpt2 {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Var {
        let g = pass.graph;
        let Sizes { heads, head_dim, .. } = self.sizes;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let tokens = self.tokens.apply(g, &pass.input.ids);
        let places = self.positions.apply(g, &pass.input.positions);
        let x = pass.drop(ops::add(&tokens, &places));
        pre_norm(pass, x, &self.blocks, self.norm, |pass, i, attention, normed| {
            let qkv = attention.qkv.apply(g, normed);
            let seen = pass.attend(i, &Qkv::Packed(&qkv), [heads; 2], scale);
            attention.output.apply(g, &seen)
        })
    }

    fn embeddings(&self) -> Vec<ParamId> {
        vec![self.tokens.table(), self.positions.table()]
    }

    fn tied(&self) -> bool {
        self.tied
    }
}
