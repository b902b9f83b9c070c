//! Rotary frequencies as config.json names them: `rope_theta` at the top with `rope_scaling`
//! (transformers 4), or both in `rope_parameters` (transformers 5).
//!
//! | rope_type | source |
//! |---|---|
//! | default | Su et al. 2021, section 3.2.2: θ^(-2i/dim) |
//! | linear | Chen et al. 2023, "Position interpolation", eq. 4 |
//! | dynamic | bloc97 2023, NTK-aware scaling: default up to `max_position_embeddings`, which is our limit |
//! | yarn | Peng et al. 2023, "YaRN", section 3.2 to 3.4 |
//! | llama3 | Llama team 2024, as in transformers' `_compute_llama3_parameters` |

use std::f64::consts::PI;

use athanor_store::{Error, Result};
use athanor_tensor::{Device, ops::Rotary};

use crate::config::Fields;

/// Longest context: positions are exact in f32 far beyond it.
const LARGEST_CONTEXT: usize = 1 << 20;

/// The object that names the scaling, if there is one.
pub(super) fn scaling(c: Fields<'_>) -> Option<Fields<'_>> {
    ["rope_scaling", "rope_parameters"]
        .into_iter()
        .filter_map(|key| c.object(key))
        .find(|o| !o.0.is_empty())
}

/// Tables for heads of `dim` and positions below `context`. `rope` is the object that names the
/// scaling; where it lacks `rope_theta`, `theta` is the base.
pub(super) fn rotary(
    c: Fields<'_>,
    rope: Option<Fields<'_>>,
    theta: f64,
    dim: usize,
    context: usize,
    device: Device,
) -> Result<Rotary> {
    if !dim.is_multiple_of(2) {
        return Err(Error::input(format!("`head_dim` {dim} is odd; rotary positions turn pairs")));
    }
    if context > LARGEST_CONTEXT {
        return Err(Error::input(format!(
            "`max_position_embeddings` {context} is above {LARGEST_CONTEXT}"
        )));
    }
    let empty = serde_json::Map::new();
    let rope = rope.unwrap_or(Fields(&empty));
    let theta = rope.number("rope_theta", theta)?;
    if theta <= 0.0 {
        return Err(Error::input(format!("`rope_theta` is {theta}, it must be above 0")));
    }
    for part in [c, rope] {
        let share = part.number("partial_rotary_factor", 1.0)?;
        if share != 1.0 {
            return Err(Error::input(format!(
                "`partial_rotary_factor` is {share}, only 1 is computed"
            )));
        }
    }
    let mut frequencies: Vec<f64> =
        (0..dim / 2).map(|i| theta.powf(-2.0 * i as f64 / dim as f64)).collect();
    let factor = || -> Result<f64> {
        let factor = rope.number("factor", 0.0)?;
        if factor >= 1.0 {
            return Ok(factor);
        }
        Err(Error::input(format!("the rope scaling's `factor` is {factor}, 1 or more is needed")))
    };
    let original = |c: Fields<'_>| -> Result<f64> {
        let key = "original_max_position_embeddings";
        Ok(c.size(key, Some(rope.size(key, Some(context))?))? as f64)
    };
    let mut scale = 1.0;
    match rope.text("rope_type", rope.text("type", "default")?)? {
        "default" | "mrope" => {}
        // Within `max_position_embeddings`, where we stay, the scaled base equals the base.
        "dynamic" => {}
        "linear" => {
            let factor = factor()?;
            frequencies.iter_mut().for_each(|w| *w /= factor);
        }
        "llama3" => {
            let (factor, original) = (factor()?, original(c)?);
            let (low, high) =
                (rope.number("low_freq_factor", 1.0)?, rope.number("high_freq_factor", 4.0)?);
            if !(low > 0.0 && high > low) {
                return Err(Error::input(format!(
                    "`low_freq_factor` {low} and `high_freq_factor` {high}: 0 < low < high is needed"
                )));
            }
            for w in &mut frequencies {
                let turns = original * *w / (2.0 * PI);
                let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                *w = (1.0 - keep) * *w / factor + keep * *w;
            }
        }
        "yarn" => {
            let original = original(c)?;
            let factor =
                if rope.has("factor") { factor()? } else { (context as f64 / original).max(1.0) };
            scale = yarn(rope, &mut frequencies, theta, factor, original)?;
        }
        other => {
            return Err(Error::input(format!("rope type {other:?} is not computed"))
                .hint("known: default, linear, dynamic, yarn, llama3"));
        }
    }
    Ok(Rotary::scaled(device, context, &frequencies, scale as f32))
}

/// Turns frequencies into YaRN's and gives the factor of cosines and sines.
fn yarn(
    rope: Fields<'_>,
    frequencies: &mut [f64],
    theta: f64,
    factor: f64,
    original: f64,
) -> Result<f64> {
    let dim = 2.0 * frequencies.len() as f64;
    let positive = |key: &str, default: f64| -> Result<f64> {
        let value = rope.number(key, default)?;
        if value > 0.0 {
            return Ok(value);
        }
        Err(Error::input(format!("the rope scaling's `{key}` is {value}, it must be above 0")))
    };
    // The pair that turns `turns` times within the original context.
    let pair = |turns: f64| dim * (original / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) =
        (pair(positive("beta_fast", 32.0)?), pair(positive("beta_slow", 1.0)?));
    if rope.flag("truncate", true)? {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(dim - 1.0));
    if low == high {
        high += 0.001;
    }
    for (i, w) in frequencies.iter_mut().enumerate() {
        let stretch = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
        *w = *w / factor * stretch + *w * (1.0 - stretch);
    }
    let growth = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
    let (m, all) = (rope.number("mscale", 0.0)?, rope.number("mscale_all_dim", 0.0)?);
    let natural = if m != 0.0 && all != 0.0 { growth(m) / growth(all) } else { growth(1.0) };
    rope.number("attention_factor", natural)
}
