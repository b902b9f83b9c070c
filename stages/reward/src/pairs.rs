//! Pairs of rated texts, and how sure one may be of their order.

use std::{io::Write, path::Path};

use athanor_store::{Error, Result, write_atomic_with};
use athanor_tensor::Rng;
use serde_json::json;

use crate::{
    section::RewardSection,
    texts::{Split, Text, Texts},
};

/// Probability that the first text's true mean rating is above the second's: Φ of the gap over its
/// standard error, both means being about normal.
pub(crate) fn confidence(a: &Text, b: &Text) -> f64 {
    above(a.mean - b.mean, a.error + b.error)
}

/// Probability that one rater, drawn at random, rates the first text above what another rates the
/// second: Φ of the gap over the spread of both.
pub(crate) fn preference(a: &Text, b: &Text) -> f64 {
    above(a.mean - b.mean, a.variance + b.variance)
}

/// Φ(gap / √variance).
fn above(gap: f64, variance: f64) -> f64 {
    if variance > 0.0 {
        return normal_cdf(gap / variance.sqrt());
    }
    if gap > 0.0 {
        1.0
    } else if gap < 0.0 {
        0.0
    } else {
        0.5
    }
}

/// Φ(x) within 1e-7: Abramowitz and Stegun 7.1.26.
fn normal_cdf(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = ((((1.061_405_429 * t - 1.453_152_027) * t + 1.421_413_741) * t - 0.284_496_736) * t
        + 0.254_829_592)
        * t;
    let erf = 1.0 - p * (-z * z).exp();
    0.5 * (1.0 + erf.copysign(x))
}

/// A pair in the order of its mean ratings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    pub better: usize,
    pub worse: usize,
    pub gap: f64,
    pub confidence: f64,
}

/// Pairs of a split within groups, drawn at random until enough are sure enough; groups count as they
/// are large.
pub(crate) fn draw(texts: &Texts, split: Split, section: &RewardSection, seed: u64) -> Vec<Pair> {
    let groups: Vec<Vec<usize>> =
        texts.indices(split).into_values().filter(|g| g.len() > 1).collect();
    let total: u64 = groups.iter().map(|g| g.len() as u64).sum();
    let rng = Rng::new(seed).fork("heldout pairs");
    let mut pairs = Vec::new();
    let mut seen = std::collections::HashSet::new();
    // Where few pairs are sure enough the draw must still end.
    for i in 0..section.heldout_pairs as u64 * 50 {
        if pairs.len() >= section.heldout_pairs || total == 0 {
            break;
        }
        let mut place = rng.at(i).below(0, total);
        let Some(group) = groups.iter().find(|g| {
            let inside = place < g.len() as u64;
            if !inside {
                place -= g.len() as u64;
            }
            inside
        }) else {
            break;
        };
        let a = group[place as usize];
        let b = group[rng.at(i).below(1, group.len() as u64) as usize];
        let (better, worse) = if texts.all[a].mean > texts.all[b].mean { (a, b) } else { (b, a) };
        let gap = texts.all[better].mean - texts.all[worse].mean;
        let confidence = confidence(&texts.all[better], &texts.all[worse]);
        if gap > 0.0
            && gap >= section.heldout_gap
            && confidence >= section.heldout_confidence
            && seen.insert((better, worse))
        {
            pairs.push(Pair { better, worse, gap, confidence });
        }
    }
    pairs
}

/// Writes pairs.heldout.jsonl.
pub(crate) fn write(path: &Path, texts: &Texts, pairs: &[Pair]) -> Result<()> {
    write_atomic_with(path, |w: &mut dyn Write| {
        for p in pairs {
            let (better, worse) = (&texts.all[p.better].id, &texts.all[p.worse].id);
            let line = json!({ "better": better, "worse": worse, "gap": p.gap, "confidence": p.confidence });
            writeln!(w, "{line}").map_err(|e| Error::io("write", path, e))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution() {
        for (x, want) in
            [(0.0, 0.5), (1.0, 0.841_344_7), (-1.959_964, 0.025), (3.0, 0.998_650_1), (-8.0, 0.0)]
        {
            assert!((normal_cdf(x) - want).abs() < 2e-7, "{x}");
        }
    }
}
