//! What decoder families share: their heads, the linear maps of a block, and how config.json says which places a query
//! sees.

use super::parts::*;

/// The usual heads of a decoder.
pub(super) const HEADS: &[Variant] = &[
    Variant::new("causal-lm", &[Stack::bare(Readout::Every, "lm_head.weight", Width::Vocabulary)]),
    Variant::new(
        "sequence",
        &[Stack::bare(Readout::LastToken, "score.weight", Width::Labels).starts(Start::Width)],
    ),
    Variant::new(
        "token",
        &[Stack::new(Readout::Every, &[Layer::Drop], "score.weight", "score.bias", Width::Labels)],
    ),
];

/// A config.json with Llama's names: sizes, what is the family's `own`, and how it trains.
pub(super) fn config(model_type: &str, shape: &Shape, own: Value) -> Map<String, Value> {
    let mut map = object(json!({
        "model_type": model_type,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.hidden / shape.heads.max(1),
    }));
    map.extend(object(own));
    map.extend(object(json!({
        "attention_bias": false,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": shape.tied,
    })));
    map
}

/// The linear maps of a block, under the names of Hugging Face's Llama.
#[derive(Clone, Copy)]
pub(super) struct Maps {
    pub sizes: Sizes,
    /// Inner width of the feed-forward part.
    pub inner: usize,
    /// Whether the projections to queries, keys and values have biases, that from attention, and those of the
    /// feed-forward part.
    pub biases: [bool; 3],
    /// Deviation of the weights at the start; those of maps back to the residual stream begin smaller by the root of
    /// their number (Radford et al. 2019, section 2.3).
    pub std: f32,
}

impl Maps {
    fn residual(&self) -> Init {
        Init::Normal(self.std / (2.0 * self.sizes.layers as f32).sqrt())
    }

    /// Attention, with `scale` on every score.
    pub(super) fn attention(&self, b: &mut Builder, scale: f32) -> Result<Attention> {
        let Sizes { hidden, heads, kv_heads, head_dim, .. } = self.sizes;
        let (wide, narrow) = (heads * head_dim, kv_heads * head_dim);
        let ([bias, output_bias, _], normal) = (self.biases, Init::Normal(self.std));
        let mut map = |name: &str, sizes, bias, init| {
            LinearSpec::new(name, sizes, init).bias(bias).declare(b)
        };
        Ok(Attention {
            query: map("self_attn.q_proj", [hidden, wide], bias, normal)?,
            key: map("self_attn.k_proj", [hidden, narrow], bias, normal)?,
            value: map("self_attn.v_proj", [hidden, narrow], bias, normal)?,
            output: map("self_attn.o_proj", [wide, hidden], output_bias, self.residual())?,
            norms: None,
            heads: [heads, kv_heads],
            dim: head_dim,
            scale,
            window: None,
        })
    }

    /// The feed-forward part.
    pub(super) fn mlp(&self, b: &mut Builder, activation: Activation) -> Result<GatedMlp> {
        let (hidden, inner) = (self.sizes.hidden, self.inner);
        let ([.., bias], normal) = (self.biases, Init::Normal(self.std));
        let mut map =
            |name: &str, sizes, init| LinearSpec::new(name, sizes, init).bias(bias).declare(b);
        Ok(GatedMlp {
            gate: map("mlp.gate_proj", [hidden, inner], normal)?,
            up: map("mlp.up_proj", [hidden, inner], normal)?,
            down: map("mlp.down_proj", [inner, hidden], self.residual())?,
            activation,
        })
    }
}

/// A block with a norm before attention and one before the feed-forward part.
pub(super) struct Block<A, M> {
    pub norms: [Norm; 2],
    pub attention: A,
    pub mlp: M,
}

/// A feed-forward part.
pub(super) trait Feed {
    fn feed(&self, pass: &Pass<'_>, x: &Var) -> Var;
}

impl Feed for Mlp {
    fn feed(&self, pass: &Pass<'_>, x: &Var) -> Var {
        self.apply(pass.graph, x)
    }
}

impl Feed for GatedMlp {
    fn feed(&self, pass: &Pass<'_>, x: &Var) -> Var {
        self.apply(pass.graph, x)
    }
}

/// Hidden states of embeddings `x`: through the blocks, with `attend` as the attention of block i over normalised
/// states, and through the last norm. Every norm is computed together with the residual sum before it.
pub(super) fn pre_norm<A, M: Feed>(
    pass: &mut Pass<'_>,
    mut x: Var,
    blocks: &[Block<A, M>],
    last: Norm,
    attend: impl Fn(&mut Pass<'_>, usize, &A, &Var) -> Var,
) -> Var {
    let g = pass.graph;
    let first = |i: usize| blocks.get(i).map_or(last, |b| b.norms[0]);
    let mut normed = first(0).apply(g, &x);
    for (i, block) in blocks.iter().enumerate() {
        pass.note(&x);
        let attended = attend(pass, i, &block.attention, &normed);
        let attended = pass.drop(attended);
        (x, normed) = block.norms[1].add(g, &x, &attended);
        let fed = block.mlp.feed(pass, &normed);
        let fed = pass.drop(fed);
        (x, normed) = first(i + 1).add(g, &x, &fed);
    }
    pass.note(&normed);
    normed
}

/// Head counts that do not fit each other.
pub(super) fn check_heads(sizes: &Sizes) -> Result<()> {
    let &Sizes { heads, kv_heads, .. } = sizes;
    if heads % kv_heads == 0 {
        return Ok(());
    }
    Err(Error::input(format!(
        "`num_attention_heads` {heads} is not a multiple of `num_key_value_heads` {kv_heads}"
    )))
}

/// For each layer the places that a query sees, from `layer_types` or, where that is not given, from
/// `slides`, and `window`; None is all of them.
pub(super) fn windows(
    c: Fields<'_>,
    layers: usize,
    window: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>> {
    let missing =
        || Error::input("`layer_types` has sliding layers, but `sliding_window` is not set");
    let Some(types) = c.list("layer_types")? else {
        return Ok((0..layers).map(|i| window.filter(|_| slides(i))).collect());
    };
    if types.len() != layers {
        return Err(Error::input(format!(
            "`layer_types` has {} entries for {layers} layers",
            types.len()
        )));
    }
    let one = |kind: &serde_json::Value| match kind.as_str() {
        Some("full_attention") => Ok(None),
        Some("sliding_attention") => window.map(Some).ok_or_else(missing),
        _ => Err(Error::input(format!("`layer_types` has {kind}"))
            .hint("known: full_attention, sliding_attention")),
    };
    types.iter().map(one).collect()
}
