//! GPT-2: Radford et al. 2019, "Language models are unsupervised multitask learners"; a pre-norm
//! Transformer decoder with learned positions. Names and layout as in Hugging Face's `gpt2`.

use athanor_store::{Error, Result};
use athanor_tensor::{
    ParamId, Var,
    ops::{self, Activation, Qkv, Weights},
};
use serde_json::{Map, Value, json};

use super::{Family, layers::feed_forward};
use crate::{
    architecture::{Architecture, Shape, Sizes},
    builder::{Builder, Init},
    config::Fields,
    heads::{Place, Stack, Start, Variant, Width},
    pass::Pass,
};

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "gpt2",
    model_types: &["gpt2"],
    class: |_| "GPT2",
    heads: &[
        Variant::new(
            "causal-lm",
            &[Stack::bare(Place::Every, "lm_head.weight", Width::Vocabulary)],
        )
        .named("LMHeadModel"),
        Variant::new(
            "sequence",
            &[Stack::bare(Place::LastToken, "score.weight", Width::Labels).starts(Start::Width)],
        ),
    ],
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
    let value = json!({
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
    });
    value.as_object().cloned().unwrap_or_default()
}

struct Block {
    ln_1: [ParamId; 2],
    attention: [ParamId; 2],
    projection: [ParamId; 2],
    ln_2: [ParamId; 2],
    up: [ParamId; 2],
    down: [ParamId; 2],
}

struct Gpt2 {
    sizes: Sizes,
    epsilon: f32,
    activation: Activation,
    tied: bool,
    tokens: ParamId,
    positions: ParamId,
    blocks: Vec<Block>,
    ln_f: [ParamId; 2],
}

impl Gpt2 {
    fn build(c: Fields<'_>, b: &mut Builder) -> Result<Self> {
        for key in
            ["scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"]
        {
            c.only(key, false)?;
        }
        c.only("scale_attn_weights", true)?;
        let (hidden, heads) = (c.size("n_embd", Some(768))?, c.size("n_head", Some(12))?);
        if hidden % heads != 0 {
            return Err(Error::input(format!(
                "`n_embd` {hidden} is not a multiple of `n_head` {heads}"
            )));
        }
        let sizes = Sizes {
            vocabulary: c.size("vocab_size", Some(50257))?,
            context: c.size("n_positions", Some(1024))?,
            hidden,
            layers: c.size("n_layer", Some(12))?,
            heads,
            kv_heads: heads,
            head_dim: hidden / heads,
        };
        let inner = c.size("n_inner", Some(4 * hidden))?;
        let activation = c.activation("activation_function", "gelu_new")?;
        let std = c.number("initializer_range", 0.02)? as f32;
        // Radford et al., section 2.3: residual projections start smaller by the root of their number.
        let residual = Init::Normal(std / (2.0 * sizes.layers as f32).sqrt());
        let tokens = b.trunk("wte.weight", &[sizes.vocabulary, hidden], Init::Normal(std))?;
        let positions = b.trunk("wpe.weight", &[sizes.context, hidden], Init::Normal(std))?;
        let mut blocks = Vec::new();
        for i in 0..sizes.layers {
            let mut pair = |name: &str, shape: &[usize], init| -> Result<[ParamId; 2]> {
                let width = shape[shape.len() - 1];
                Ok([
                    b.trunk(&format!("h.{i}.{name}.weight"), shape, init)?,
                    b.trunk(&format!("h.{i}.{name}.bias"), &[width], Init::Zero)?,
                ])
            };
            blocks.push(Block {
                ln_1: pair("ln_1", &[hidden], Init::One)?,
                attention: pair("attn.c_attn", &[hidden, 3 * hidden], Init::Normal(std))?,
                projection: pair("attn.c_proj", &[hidden, hidden], residual)?,
                ln_2: pair("ln_2", &[hidden], Init::One)?,
                up: pair("mlp.c_fc", &[hidden, inner], Init::Normal(std))?,
                down: pair("mlp.c_proj", &[inner, hidden], residual)?,
            });
        }
        let ln_f = [
            b.trunk("ln_f.weight", &[hidden], Init::One)?,
            b.trunk("ln_f.bias", &[hidden], Init::Zero)?,
        ];
        Ok(Self {
            sizes,
            epsilon: c.number("layer_norm_epsilon", 1e-5)? as f32,
            activation,
            tied: c.flag("tie_word_embeddings", true)?,
            tokens,
            positions,
            blocks,
            ln_f,
        })
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
        let project = |x: &Var, [w, b]: [ParamId; 2], activation| {
            ops::linear(x, &g.param(w), Some(&g.param(b)), Weights::InOut, activation)
        };
        let norm = |x: &Var, y: &Var, [w, b]: [ParamId; 2]| {
            ops::add_layer_norm(x, y, &g.param(w), Some(&g.param(b)), self.epsilon)
        };
        let tokens = ops::embedding(&g.param(self.tokens), &pass.input.ids);
        let places = ops::embedding(&g.param(self.positions), &pass.input.positions);
        let mut x = pass.drop(ops::add(&tokens, &places));
        let first = self.blocks.first().map_or(self.ln_f, |b| b.ln_1);
        let mut normed =
            ops::layer_norm(&x, &g.param(first[0]), Some(&g.param(first[1])), self.epsilon);
        for (i, block) in self.blocks.iter().enumerate() {
            pass.note(&x);
            let qkv = project(&normed, block.attention, Activation::None);
            let seen = pass.attend(i, &Qkv::Packed(&qkv), heads, heads, scale);
            let attended = pass.drop(project(&seen, block.projection, Activation::None));
            (x, normed) = norm(&x, &attended, block.ln_2);
            let maps = [block.up, block.down];
            let fed = feed_forward(g, &normed, maps, Weights::InOut, self.activation);
            let fed = pass.drop(fed);
            let next = self.blocks.get(i + 1).map_or(self.ln_f, |b| b.ln_1);
            (x, normed) = norm(&x, &fed, next);
        }
        pass.note(&normed);
        normed
    }

    fn embeddings(&self) -> Vec<ParamId> {
        vec![self.tokens, self.positions]
    }

    fn tied(&self) -> bool {
        self.tied
    }
}
