//! XLNet: Yang et al. 2019, "XLNet: Generalized Autoregressive Pretraining for Language Understanding".
//! Two streams (section 2.3), Transformer-XL's relative positions and memory (2.4), relative segments
//! (2.5). Names as in Hugging Face's `xlnet`.
//!
//! Departure: in training all rows of a batch drop the same elements of the position table, and
//! attention's probabilities are not dropped, as in our other families.

use athanor_tensor::{
    Device, Ids, Tensor,
    ops::{Relative, RelativeMask, Weights},
};

use super::{Family, parts::*};
use crate::input::{Extra, TwoStreams};

/// Positions are relative, so this bounds only the work of one pass.
const LONGEST: usize = 1 << 16;

/// The last place's state through a dense layer: `XLNetSequenceSummary`.
const SUMMARY: &[Layer] =
    &[Layer::Dense("sequence_summary.summary", Activate::Key("summary_activation")), Layer::Drop];

const fn summary(width: Width) -> Stack {
    Stack::new(Readout::Last, SUMMARY, "logits_proj.weight", "logits_proj.bias", width)
}

const fn every(weight: &'static str, bias: &'static str, width: Width) -> Stack {
    Stack::new(Readout::Every, &[], weight, bias, width)
}

/// The family's line in the registry.
pub const FAMILY: Family = Family {
    name: "xlnet",
    model_types: &["xlnet"],
    class: |_| "XLNet",
    heads: &[
        Variant::new(
            "permutation-lm",
            &[every("lm_loss.weight", "lm_loss.bias", Width::Vocabulary)],
        ),
        Variant::new("sequence", &[summary(Width::Labels)]),
        Variant::new("token", &[every("classifier.weight", "classifier.bias", Width::Labels)]),
        Variant::new("multiple-choice", &[summary(Width::Fixed(1))]),
        Variant::new("span", &[every("qa_outputs.weight", "qa_outputs.bias", Width::Fixed(2))])
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
    object(json!({
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
    }))
}

struct Block {
    /// To queries, keys, values and distances, stored as [hidden, heads, dim].
    query: Linear,
    key: Linear,
    value: Linear,
    distance: Linear,
    output: Linear,
    /// For contents, places and segments, [heads, dim] each.
    biases: [ParamId; 3],
    /// Of the same and of another segment, [2, heads, dim].
    segments: ParamId,
    norm: Norm,
    mlp: Mlp,
    mlp_norm: Norm,
}

struct XlNet {
    sizes: Sizes,
    tied: bool,
    causal: bool,
    same_length: bool,
    clamp: Option<usize>,
    /// Places that the next segment remembers; all where there is none.
    memory: Option<usize>,
    /// How many of this segment's places are remembered, from its start.
    reuse: Option<usize>,
    keeps_memory: bool,
    words: Embedding,
    mask: ParamId,
    blocks: Vec<Block>,
}

/// Refuses what is not computed.
fn check(c: Fields<'_>) -> Result<()> {
    c.only("bi_data", false)?;
    c.only("summary_use_proj", true)?;
    for (key, default, known) in
        [("summary_type", "last", &["last"][..]), ("attn_type", "bi", &["bi", "uni"])]
    {
        let found = c.text(key, default)?;
        if !known.contains(&found) {
            return Err(Error::input(format!("`{key}` is {found:?}, not computed"))
                .hint(format!("known: {}", known.join(", "))));
        }
    }
    Ok(())
}

fn sizes(c: Fields<'_>) -> Result<Sizes> {
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
    Ok(Sizes {
        vocabulary: c.size("vocab_size", Some(32000))?,
        context: LONGEST,
        hidden,
        layers: c.size("n_layer", Some(24))?,
        heads,
        kv_heads: heads,
        head_dim,
    })
}

impl Block {
    fn declare(c: Fields<'_>, b: &mut Builder, sizes: &Sizes) -> Result<Self> {
        let &Sizes { hidden, heads, head_dim, .. } = sizes;
        let inner = c.size("d_inner", Some(4096))?;
        let epsilon = c.number("layer_norm_eps", 1e-12)? as f32;
        let std = Init::Normal(c.number("initializer_range", 0.02)? as f32);
        let wide = heads * head_dim;
        let mut map = |name: &str, layout, sizes| {
            let name = format!("rel_attn.{name}");
            let weight = b.trunk(&name, &[hidden, heads, head_dim], std, Role::Linear)?;
            Linear::new(b, Owner::Trunk, &name, weight, None, layout, sizes)
        };
        let query = map("q", Weights::InOut, [hidden, wide])?;
        let key = map("k", Weights::InOut, [hidden, wide])?;
        let value = map("v", Weights::InOut, [hidden, wide])?;
        let distance = map("r", Weights::InOut, [hidden, wide])?;
        let output = map("o", Weights::OutIn, [wide, hidden])?;
        let mut bias =
            |name: &str| b.trunk(&format!("rel_attn.{name}"), &[heads, head_dim], std, Role::Bias);
        let biases = [bias("r_w_bias")?, bias("r_r_bias")?, bias("r_s_bias")?];
        let segments = b.trunk("rel_attn.seg_embed", &[2, heads, head_dim], std, Role::Other)?;
        let norm = Norm::layer(b, Owner::Trunk, "rel_attn.layer_norm", hidden, epsilon)?;
        let mlp = Mlp {
            up: LinearSpec::new("ff.layer_1", [hidden, inner], std).bias(true).declare(b)?,
            down: LinearSpec::new("ff.layer_2", [inner, hidden], std).bias(true).declare(b)?,
            activation: c.activation("ff_activation", "gelu")?,
        };
        let mlp_norm = Norm::layer(b, Owner::Trunk, "ff.layer_norm", hidden, epsilon)?;
        Ok(Self { query, key, value, distance, output, biases, segments, norm, mlp, mlp_norm })
    }
}

/// What both streams of a block attend to.
struct Seen {
    keys: Var,
    values: Var,
    distances: Var,
    /// Length of a row, without memory.
    time: usize,
}

impl XlNet {
    fn build(c: Fields<'_>, b: &mut Builder) -> Result<Self> {
        check(c)?;
        let sizes = sizes(c)?;
        let std = Init::Normal(c.number("initializer_range", 0.02)? as f32);
        let table = [sizes.vocabulary, sizes.hidden];
        let words = Embedding::declare(b, "word_embedding", table, std)?;
        let mask = b.trunk("mask_emb", &[1, 1, sizes.hidden], std, Role::Other)?;
        let blocks = b.blocks("layer", sizes.layers, |b| Block::declare(c, b, &sizes))?;
        Ok(Self {
            sizes,
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

    /// A projection [batch, places, heads, dim] of `x` [batch, places, hidden], or [places, heads, dim] of
    /// [places, hidden].
    fn split(&self, pass: &Pass<'_>, x: &Var, map: &Linear) -> Var {
        let Sizes { heads, head_dim, .. } = self.sizes;
        let y = map.apply(pass.graph, x);
        match x.shape()[..] {
            [batch, places, _] => ops::reshape(&y, [batch, places, heads, head_dim]),
            _ => ops::reshape(&y, [x.shape()[0], heads, head_dim]),
        }
    }

    /// One stream of a block: the states [batch, places, hidden] after those of `x`.
    fn stream(
        &self,
        pass: &mut Pass<'_>,
        block: &Block,
        x: &Var,
        seen: &Seen,
        mask: &RelativeMask,
    ) -> Var {
        let g = pass.graph;
        let scale = 1.0 / (self.sizes.head_dim as f32).sqrt();
        let [content_bias, place_bias, segment_bias] = block.biases.map(|b| g.param(b));
        let segments = g.param(block.segments);
        let relative = Relative {
            q: &self.split(pass, x, &block.query),
            k: &seen.keys,
            v: &seen.values,
            r: &seen.distances,
            content_bias: &content_bias,
            place_bias: &place_bias,
            segments: mask.types.is_some().then_some((&segment_bias, &segments)),
        };
        let attended = ops::relative_attention(&relative, seen.time, scale, mask);
        let attended = pass.drop(block.output.apply(g, &attended));
        let x = block.norm.add(g, &attended, x).1;
        let fed = match pass.drops() {
            false => block.mlp.apply(g, &x),
            true => {
                let inner = pass.drop(block.mlp.inner(g, &x));
                block.mlp.down.apply(g, &inner)
            }
        };
        block.mlp_norm.add(g, &pass.drop(fed), &x).1
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
        let (g, input, hidden) = (pass.graph, pass.input, self.sizes.hidden);
        let (_, time) = input.sizes();
        let device = input.ids.device();
        let none = TwoStreams::default();
        let extra = match &input.extra {
            Extra::TwoStreams(extra) => extra,
            Extra::None => &none,
        };
        let memory = extra.memory.first().map_or(0, |m| m.shape()[1]);
        let content = RelativeMask {
            causal: self.causal,
            same_length: self.same_length,
            own: true,
            keys: input.mask.keys.clone(),
            permutation: extra.permutation.clone(),
            places: None,
            types: input.types.clone(),
        };
        let query = RelativeMask { own: false, places: extra.targets.clone(), ..content.clone() };
        let table = pass.drop(Var::constant(self.distances(device, time, memory + time)));
        let mut h = pass.drop(self.words.apply(g, &input.ids));
        let mut asked = extra.targets.as_ref().map(|targets| {
            let mask = ops::reshape(&g.param(self.mask), [1, hidden]);
            let zeros = Ids::new(device, vec![0; targets.len()], *targets.shape());
            pass.drop(ops::embedding(&mask, &zeros))
        });
        for (i, block) in self.blocks.iter().enumerate() {
            let before = extra.memory.get(i);
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
            let seen = Seen {
                keys: self.split(pass, &all, &block.key),
                values: self.split(pass, &all, &block.value),
                distances: self.split(pass, &table, &block.distance),
                time,
            };
            let next = self.stream(pass, block, &h, &seen, &content);
            asked = asked.map(|x| self.stream(pass, block, &x, &seen, &query));
            h = next;
        }
        pass.note(&h);
        if let Some(x) = &asked {
            pass.note(x);
        }
        pass.drop(asked.unwrap_or(h))
    }

    fn embeddings(&self) -> Vec<ParamId> {
        vec![self.words.table()]
    }

    fn tied(&self) -> bool {
        self.tied
    }

    fn causal(&self) -> bool {
        self.causal
    }

    fn position_limit(&self) -> usize {
        0
    }

    fn type_limit(&self) -> usize {
        // Only whether two types are the same matters.
        i32::MAX as usize
    }
}
