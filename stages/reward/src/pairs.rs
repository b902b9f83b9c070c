//! Held-out pairs of texts whose order is sure enough to be measured on.

use std::{io::Write, path::Path};

use athanor_data::{Split, preferences::Comparison};
use athanor_store::{Error, Result, write_atomic_with};
use athanor_tensor::Rng;
use serde_json::json;

use crate::{section::RewardSection, texts::Texts};

/// Pairs of a split that are sure enough: all of them where there are no more than wanted, else drawn at
/// random; sets count as they are large.
pub(crate) fn draw(
    texts: &Texts,
    split: Split,
    section: &RewardSection,
    seed: u64,
) -> Vec<Comparison> {
    let sets: Vec<Vec<usize>> =
        texts.indices(split).into_values().filter(|g| g.len() > 1).collect();
    let possible: usize = sets.iter().map(|s| s.len() * (s.len() - 1) / 2).sum();
    if possible <= section.heldout_pairs {
        let within = |set: &Vec<usize>| -> Vec<Comparison> {
            let places = set.iter().enumerate();
            let all = places.flat_map(|(i, &a)| set[i + 1..].iter().map(move |&b| (a, b)));
            all.map(|(a, b)| compare(texts, a, b)).collect()
        };
        let all = sets.iter().flat_map(within);
        return all.filter(|pair| is_sure(pair, section)).collect();
    }
    let total: u64 = sets.iter().map(|g| g.len() as u64).sum();
    let rng = Rng::new(seed).fork("heldout pairs");
    let mut pairs = Vec::new();
    let mut seen = std::collections::HashSet::new();
    // Where few pairs are sure enough the draw must still end.
    for i in 0..section.heldout_pairs as u64 * 50 {
        if pairs.len() >= section.heldout_pairs || total == 0 {
            break;
        }
        let mut place = rng.at(i).below(0, total);
        let Some(set) = sets.iter().find(|g| {
            let inside = place < g.len() as u64;
            if !inside {
                place -= g.len() as u64;
            }
            inside
        }) else {
            break;
        };
        let a = set[place as usize];
        let b = set[rng.at(i).below(1, set.len() as u64) as usize];
        let pair = compare(texts, a, b);
        if is_sure(&pair, section) && seen.insert((pair.better, pair.worse)) {
            pairs.push(pair);
        }
    }
    pairs
}

fn compare(texts: &Texts, a: usize, b: usize) -> Comparison {
    Comparison::new([a, b], [&texts.all[a].judgement, &texts.all[b].judgement])
}

fn is_sure(pair: &Comparison, section: &RewardSection) -> bool {
    pair.gap > 0.0
        && pair.gap >= section.heldout_gap
        && pair.confidence >= section.heldout_confidence
}

/// Writes pairs.heldout.jsonl.
pub(crate) fn write(path: &Path, texts: &Texts, pairs: &[Comparison]) -> Result<()> {
    write_atomic_with(path, |w: &mut dyn Write| {
        for p in pairs {
            let (better, worse) = (&texts.all[p.better].id, &texts.all[p.worse].id);
            let line = json!({ "better": better, "worse": worse, "gap": p.gap, "confidence": p.confidence });
            writeln!(w, "{line}").map_err(|e| Error::io("write", path, e))?;
        }
        Ok(())
    })
}
