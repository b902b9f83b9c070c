//! XLNet: Yang et al. 2019, "XLNet: Generalized Autoregressive Pretraining for Language Understanding".
//! Two streams (section 2.3), Transformer-XL's relative positions and memory (2.4), relative segments
//! (2.5). Names as in Hugging Face's `xlnet`.
//!
//! Departure: in training all rows of a batch drop the same elements of the position table, and
//! attention's probabilities are not dropped, as in our other families.

use athanor_store::{Error, Result};
use athanor_tensor::{
    Device, Ids, ParamId, Tensor, Var,
    ops::{self, Activation, Relative, Sight, Weights},
};
use serde_json::{Map, Value, json};

use super::{Family, layers::feed_forward};
use crate::{
    architecture::{Architecture, Shape, Sizes},
    builder::{Builder, Init},
    config::Fields,
    heads::{Activate, Layer, Place, Stack, Variant, Width},
    pass::Pass,
};

/// Positions are relative, so this bounds only the work of one pass.
const LONGEST: usize = 1 << 16;

/// The last place's state through a dense layer: `XLNetSequenceSummary`.
const SUMMARY: &[Layer] =
    &[Layer::Dense("sequence_summary.summary", Activate::Key("summary_activation")), Layer::Drop];

const fn summary(width: Width) -> Stack {
    Stack::new(Place::Last, SUMMARY, "logits_proj.weight", "logits_proj.bias", width)
}

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "xlnet",
    model_types: &["xlnet"],
    class: |_| "XLNet",
    heads: &[
        Variant::new(
            "permutation-lm",
            &[Stack::new(Place::Every, &[], "lm_loss.weight", "lm_loss.bias", Width::Vocabulary)],
        ),
        Variant::new("sequence", &[summary(Width::Labels)]),
        Variant::new(
            "token",
            &[Stack::new(Place::Every, &[], "classifier.weight", "classifier.bias", Width::Labels)],
        ),
        Variant::new("multiple-choice", &[summary(Width::Fixed(1))]),
        Variant::new(
            "span",
            &[Stack::new(
                Place::Every,
                &[],
                "qa_outputs.weight",
                "qa_outputs.bias",
                Width::Fixed(2),
            )],
        )
        .named("ForQuestionAnsweringSimple"),
    ],
    inputs: &["token_type_ids", "perm_mask", "target_mapping", "mems."],
    prefix: "transformer.",
    intermediate: |hidden| 4 * hidden,
    refuse: |s| {
        let plain = !s.qk_norm && s.kv_heads == s.heads;
        (!plain).then_some("xlnet has neither grouped queries nor qk_norm")
    },
    config,
    build: |fields, builder| Ok(Box::new(XlNet::build(fields, builder)?)),
};

fn config(shape: &Shape) -> Map<String, Value> {
    let value = json!({
        "model_type": "xlnet",
        "vocab_size": shape.vocabulary,
        "d_model": shape.hidden,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "d_head": shape.hidden / shape.heads.max(1),
        "d_inner": shape.intermediate,
        "ff_activation": "gelu",
        "attn_type": "bi",
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "dropout": 0.0,
        "mem_len": shape.context,
        "summary_type": "last",
        "summary_use_proj": true,
        "summary_activation": "tanh",
        "summary_last_dropout": 0.0,
        "tie_word_embeddings": shape.tied,
    });
    value.as_object().cloned().unwrap_or_default()
}

struct Block {
    /// Queries, keys, values and distances, [hidden, heads, dim] each.
    qkvr: [ParamId; 4],
    output: ParamId,
    /// For contents, places and segments, [heads, dim] each.
    biases: [ParamId; 3],
    segments: ParamId,
    norm: [ParamId; 2],
    up: [ParamId; 2],
    down: [ParamId; 2],
    fed_norm: [ParamId; 2],
}

struct XlNet {
    sizes: Sizes,
    epsilon: f32,
    activation: Activation,
    tied: bool,
    causal: bool,
    same_length: bool,
    clamp: Option<usize>,
    /// Places that the next segment remembers; all where there is none.
    memory: Option<usize>,
    /// How many of this segment's places are remembered, from its start.
    reuse: Option<usize>,
    keeps_memory: bool,
    words: ParamId,
    mask: ParamId,
    blocks: Vec<Block>,
}

impl XlNet {
    fn build(c: Fields<'_>, b: &mut Builder) -> Result<Self> {
        c.only("bi_data", false)?;
        c.only("summary_use_proj", true)?;
        let only = |key: &str, default: &'static str, known: &[&str]| -> Result<()> {
            let found = c.text(key, default)?;
            match known.contains(&found) {
                true => Ok(()),
                false => Err(Error::input(format!("`{key}` is {found:?}, not computed"))
                    .hint(format!("known: {}", known.join(", ")))),
            }
        };
        only("summary_type", "last", &["last"])?;
        only("attn_type", "bi", &["bi", "uni"])?;
        let (hidden, heads) = (c.size("d_model", Some(1024))?, c.size("n_head", Some(16))?);
        if hidden % heads != 0 || !hidden.is_multiple_of(2) {
            return Err(Error::input(format!(
                "`d_model` {hidden} must be even and a multiple of `n_head` {heads}"
            )));
        }
        let head_dim = c.size("d_head", Some(hidden / heads))?;
        if head_dim != hidden / heads {
            return Err(Error::input(format!(
                "`d_head` is {head_dim}, `d_model` / `n_head` is {}",
                hidden / heads
            )));
        }
        let sizes = Sizes {
            vocabulary: c.size("vocab_size", Some(32000))?,
            context: LONGEST,
            hidden,
            layers: c.size("n_layer", Some(24))?,
            heads,
            kv_heads: heads,
            head_dim,
        };
        let inner = c.size("d_inner", Some(4096))?;
        let std = Init::Normal(c.number("initializer_range", 0.02)? as f32);
        let words = b.trunk("word_embedding.weight", &[sizes.vocabulary, hidden], std)?;
        let mask = b.trunk("mask_emb", &[1, 1, hidden], std)?;
        let mut blocks = Vec::new();
        for i in 0..sizes.layers {
            let mut part = |name: &str, shape: &[usize], init| {
                b.trunk(&format!("layer.{i}.{name}"), shape, init)
            };
            let (wide, bias) = ([hidden, heads, head_dim], [heads, head_dim]);
            blocks.push(Block {
                qkvr: [
                    part("rel_attn.q", &wide, std)?,
                    part("rel_attn.k", &wide, std)?,
                    part("rel_attn.v", &wide, std)?,
                    part("rel_attn.r", &wide, std)?,
                ],
                output: part("rel_attn.o", &wide, std)?,
                biases: [
                    part("rel_attn.r_w_bias", &bias, std)?,
                    part("rel_attn.r_r_bias", &bias, std)?,
                    part("rel_attn.r_s_bias", &bias, std)?,
                ],
                segments: part("rel_attn.seg_embed", &[2, heads, head_dim], std)?,
                norm: [
                    part("rel_attn.layer_norm.weight", &[hidden], Init::One)?,
                    part("rel_attn.layer_norm.bias", &[hidden], Init::Zero)?,
                ],
                up: [
                    part("ff.layer_1.weight", &[inner, hidden], std)?,
                    part("ff.layer_1.bias", &[inner], Init::Zero)?,
                ],
                down: [
                    part("ff.layer_2.weight", &[hidden, inner], std)?,
                    part("ff.layer_2.bias", &[hidden], Init::Zero)?,
                ],
                fed_norm: [
                    part("ff.layer_norm.weight", &[hidden], Init::One)?,
                    part("ff.layer_norm.bias", &[hidden], Init::Zero)?,
                ],
            });
        }
        Ok(Self {
            sizes,
            epsilon: c.number("layer_norm_eps", 1e-12)? as f32,
            activation: c.activation("ff_activation", "gelu")?,
            tied: c.flag("tie_word_embeddings", true)?,
            causal: c.text("attn_type", "bi")? == "uni",
            same_length: c.flag("same_length", false)?,
            clamp: c.bound("clamp_len", None)?,
            memory: c.bound("mem_len", Some(512))?,
            reuse: c.bound("reuse_len", None)?,
            keeps_memory: c.flag("use_mems_eval", true)?,
            words,
            mask,
            blocks,
        })
    }

    /// The table of distances [distances, hidden], from the farthest behind to the farthest ahead:
    /// sines, then cosines (Vaswani et al. 2017, section 3.5), in f32 as in the reference.
    fn distances(&self, device: Device, time: usize, keys: usize) -> Tensor {
        let hidden = self.sizes.hidden;
        let count = keys + if self.causal { 1 } else { time };
        let inverse: Vec<f32> =
            (0..hidden / 2).map(|i| 1.0 / 10_000f32.powf((2 * i) as f32 / hidden as f32)).collect();
        let mut table = Vec::with_capacity(count * hidden);
        for p in 0..count {
            let distance = keys as f32 - p as f32;
            let limit = self.clamp.map_or(f32::INFINITY, |c| c as f32);
            let distance = distance.clamp(-limit, limit);
            table.extend(inverse.iter().map(|w| (distance * w).sin()));
            table.extend(inverse.iter().map(|w| (distance * w).cos()));
        }
        Tensor::from_slice(device, &table, [count, hidden])
    }

    /// What the next segment remembers of a layer: [batch, places, hidden].
    fn remember(&self, current: &Tensor, before: Option<&Tensor>) -> Tensor {
        let now = match self.reuse {
            Some(reuse) => ops::places(current, 0, reuse.min(current.shape()[1])),
            None => current.clone(),
        };
        let all = match before {
            Some(before) => {
                let (a, b) = (Var::constant(before.clone()), Var::constant(now));
                ops::concat(&a, &b).value().clone()
            }
            None => now,
        };
        let count = all.shape()[1];
        match self.memory {
            Some(memory) if memory < count => ops::places(&all, count - memory, count),
            _ => all,
        }
    }
}

impl Architecture for XlNet {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Hidden states of every place, or, where the input names targets, the query stream's of those.
    fn forward(&self, pass: &mut Pass<'_>) -> Var {
        let g = pass.graph;
        let Sizes { heads, head_dim, hidden, .. } = self.sizes;
        let (batch, time) = pass.input.sizes();
        let input = pass.input;
        let device = input.ids.device();
        let memory = input.memory.first().map_or(0, |m| m.shape()[1]);
        let scale = 1.0 / (head_dim as f32).sqrt();
        let flat = |id: ParamId| ops::reshape(&g.param(id), [hidden, heads * head_dim]);
        let split = |x: &Var, id: ParamId| {
            let rows = x.value().len() / hidden;
            let y = ops::linear(x, &flat(id), None, Weights::InOut, Activation::None);
            match x.shape().len() {
                2 => ops::reshape(&y, [rows, heads, head_dim]),
                _ => ops::reshape(&y, [batch, rows / batch, heads, head_dim]),
            }
        };
        let map = |x: &Var, [w, b]: [ParamId; 2], activation| {
            ops::linear(x, &g.param(w), Some(&g.param(b)), Weights::OutIn, activation)
        };
        let norm = |x: &Var, y: &Var, [w, b]: [ParamId; 2]| {
            ops::add_layer_norm(x, y, &g.param(w), Some(&g.param(b)), self.epsilon).1
        };
        let content = Sight {
            causal: self.causal,
            same_length: self.same_length,
            own: true,
            keys: input.mask.keys.clone(),
            permutation: input.permutation.clone(),
            places: None,
            types: input.types.clone(),
        };
        let query = Sight { own: false, places: input.targets.clone(), ..content.clone() };
        let table = pass.drop(Var::constant(self.distances(device, time, memory + time)));
        let mut h = pass.drop(ops::embedding(&g.param(self.words), &input.ids));
        let mut asked = input.targets.as_ref().map(|targets| {
            let mask = ops::reshape(&g.param(self.mask), [1, hidden]);
            let zeros = Ids::new(device, vec![0; targets.len()], *targets.shape());
            pass.drop(ops::embedding(&mask, &zeros))
        });
        for (i, block) in self.blocks.iter().enumerate() {
            let before = input.memory.get(i);
            if let Some(kept) = pass.memory.as_mut().filter(|_| self.keeps_memory) {
                kept.push(self.remember(h.value(), before));
            }
            pass.note(&h);
            if let Some(x) = &asked {
                pass.note(x);
            }
            let all = match before {
                Some(before) => ops::concat(&Var::constant(before.clone()), &h),
                None => h.clone(),
            };
            let [q, k, v, r] = block.qkvr;
            let (keys, values, r) = (split(&all, k), split(&all, v), split(&table, r));
            let [content_bias, place_bias, segment_bias] = block.biases.map(|b| g.param(b));
            let segments = g.param(block.segments);
            let mut stream = |x: &Var, sight: &Sight| {
                let relative = Relative {
                    q: &split(x, q),
                    k: &keys,
                    v: &values,
                    r: &r,
                    content_bias: &content_bias,
                    place_bias: &place_bias,
                    segments: sight.types.is_some().then_some((&segment_bias, &segments)),
                };
                let seen = ops::relative_attention(&relative, time, scale, sight);
                let o = flat(block.output);
                let attended = ops::linear(&seen, &o, None, Weights::OutIn, Activation::None);
                let x = norm(&pass.drop(attended), x, block.norm);
                let fed = match pass.drops() {
                    false => {
                        let maps = [block.up, block.down];
                        feed_forward(g, &x, maps, Weights::OutIn, self.activation)
                    }
                    true => {
                        let inner = pass.drop(map(&x, block.up, self.activation));
                        map(&inner, block.down, Activation::None)
                    }
                };
                norm(&pass.drop(fed), &x, block.fed_norm)
            };
            let next = stream(&h, &content);
            asked = asked.map(|x| stream(&x, &query));
            h = next;
        }
        pass.note(&h);
        if let Some(x) = &asked {
            pass.note(x);
        }
        pass.drop(asked.unwrap_or(h))
    }

    fn embeddings(&self) -> Vec<ParamId> {
        vec![self.words]
    }

    fn tied(&self) -> bool {
        self.tied
    }

    fn causal(&self) -> bool {
        self.causal
    }

    fn two_streams(&self) -> bool {
        true
    }

    fn position_limit(&self) -> usize {
        0
    }

    fn type_limit(&self) -> usize {
        // Only whether two types are the same matters.
        i32::MAX as usize
    }
}
