//! Parts that decoder families share.

use athanor_store::{Error, Result};
use athanor_tensor::{
    Graph, ParamId, Var,
    ops::{self, Activation, Affine, Weights},
};

use crate::{
    architecture::Sizes,
    builder::{Builder, Init},
    config::Fields,
    heads::{Layer, Place, Stack, Start, Variant, Width},
};

/// The usual heads of a decoder.
pub(super) const HEADS: &[Variant] = &[
    Variant::new("causal-lm", &[Stack::bare(Place::Every, "lm_head.weight", Width::Vocabulary)]),
    Variant::new(
        "sequence",
        &[Stack::bare(Place::LastToken, "score.weight", Width::Labels).starts(Start::Width)],
    ),
    Variant::new(
        "token",
        &[Stack::new(Place::Every, &[Layer::Drop], "score.weight", "score.bias", Width::Labels)],
    ),
];

/// A linear map [out, in] with an optional bias.
#[derive(Clone, Copy)]
pub(super) struct Linear {
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Linear {
    /// Declares `NAME.weight` and, with `bias`, `NAME.bias`.
    pub(super) fn declare(
        b: &mut Builder,
        name: &str,
        [inner, out]: [usize; 2],
        bias: bool,
        init: Init,
    ) -> Result<Self> {
        let weight = b.trunk(&format!("{name}.weight"), &[out, inner], init)?;
        let bias =
            if bias { Some(b.trunk(&format!("{name}.bias"), &[out], Init::Zero)?) } else { None };
        Ok(Self { weight, bias })
    }

    /// x·Wᵀ + b.
    pub(super) fn apply(self, g: &Graph<'_>, x: &Var) -> Var {
        let bias = self.bias.map(|b| g.param(b));
        ops::linear(x, &g.param(self.weight), bias.as_ref(), Weights::OutIn, Activation::None)
    }
}

/// activation(x·W + b)·V + c of two pairs of weight and bias.
pub(super) fn feed_forward(
    g: &Graph<'_>,
    x: &Var,
    maps: [[ParamId; 2]; 2],
    layout: Weights,
    activation: Activation,
) -> Var {
    let maps = maps.map(|m| m.map(|p| g.param(p)));
    let [up, down] = maps.each_ref().map(|[weight, bias]| Affine { weight, bias });
    ops::feed_forward(x, up, down, layout, activation)
}

/// act(gate)·up: SwiGLU and GeGLU (Shazeer 2020, eq. 5 and 6).
pub(super) fn gated(gate: &Var, up: &Var, activation: Activation) -> Var {
    match activation {
        Activation::Silu => ops::swiglu(gate, up),
        other => ops::mul(&ops::activate(gate, other), up),
    }
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
