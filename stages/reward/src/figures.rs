//! Figures of a reward model: accuracy by gap, calibration.

use athanor_data::{Split, preferences::Comparison};
use athanor_store::figures::{CalibrationRow, GapRow};
use athanor_tensor::Rng;

use crate::{scores::Scores, texts::Texts};

/// Borders of the gaps in mean rating.
const GAPS: [f64; 6] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0];

/// Share of pairs for which `right` holds.
pub(crate) fn accuracy(pairs: &[Comparison], right: impl Fn(&Comparison) -> bool) -> f64 {
    pairs.iter().filter(|p| right(p)).count() as f64 / pairs.len().max(1) as f64
}

/// Accuracy by size of gap, ours and the baseline's.
pub(crate) fn by_gap(
    pairs: &[Comparison],
    ours: impl Fn(&Comparison) -> bool + Copy,
    baseline: impl Fn(&Comparison) -> bool + Copy,
) -> Vec<GapRow> {
    let ends = GAPS.iter().skip(1).copied().chain([f64::INFINITY]);
    GAPS.into_iter()
        .zip(ends)
        .filter_map(|(from, to)| {
            let inside: Vec<Comparison> =
                pairs.iter().copied().filter(|p| p.gap >= from && p.gap < to).collect();
            (!inside.is_empty()).then(|| GapRow {
                from: Some(from),
                to: to.is_finite().then_some(to),
                pairs: Some(inside.len() as u64),
                accuracy: Some(accuracy(&inside, ours)),
                tfidf: Some(accuracy(&inside, baseline)),
            })
        })
        .collect()
}

/// Predicted probability against the raters', in tenths, over random held-out pairs whatever their
/// gap; and the expected calibration error (Naeini et al. 2015).
pub(crate) fn calibration(texts: &Texts, scores: &Scores, seed: u64) -> (Vec<CalibrationRow>, f64) {
    const BINS: usize = 10;
    const PAIRS_PER_TEXT: u64 = 4;
    let rng = Rng::new(seed).fork("calibration");
    let mut bins = [(0.0f64, 0.0f64, 0usize); BINS];
    for group in texts.indices(Split::Heldout).into_values().filter(|g| g.len() > 1) {
        for &a in &group {
            for k in 0..PAIRS_PER_TEXT {
                let b = group[rng.at(a as u64).below(k, group.len() as u64) as usize];
                if a == b {
                    continue;
                }
                let predicted = 1.0 / (1.0 + (scores.get(b) - scores.get(a)).exp());
                let bin = &mut bins[((predicted * BINS as f64) as usize).min(BINS - 1)];
                bin.0 += predicted;
                bin.1 += texts.preference(a, b);
                bin.2 += 1;
            }
        }
    }
    let total = bins.iter().map(|b| b.2).sum::<usize>().max(1) as f64;
    let error = bins.iter().map(|(p, o, _)| (p - o).abs()).sum::<f64>() / total;
    let table = bins
        .iter()
        .filter(|b| b.2 > 0)
        .map(|&(p, o, n)| CalibrationRow {
            predicted: Some(p / n as f64),
            observed: Some(o / n as f64),
            pairs: Some(n as u64),
        })
        .collect();
    (table, error)
}
