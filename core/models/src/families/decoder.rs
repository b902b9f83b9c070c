//! What decoder families share: their heads, and how config.json says which places a query sees.

use athanor_store::{Error, Result};

use crate::{
    config::Fields,
    heads::{Layer, Readout, Stack, Start, Variant, Width},
    sizes::Sizes,
};

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
