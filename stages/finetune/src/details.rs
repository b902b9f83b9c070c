//! The figures of labels in summary.json: of each label, and which are taken for which.

use athanor_store::figures::{ConfusedLabels, Confusion as Matrix, FinetuneSummary, LabelRow};

use crate::{labels::Labels, metrics::Confusion};

/// Labels above this make a matrix that is too large to read.
const MATRIX: usize = 40;
/// Confusions that are listed.
const CONFUSED: usize = 20;

/// The figures of each label, and which are taken for which.
pub(crate) fn of_labels(labels: &Labels, confusion: &Confusion) -> FinetuneSummary {
    let names = labels.names();
    let row = |(i, name): (usize, &String)| {
        let f = confusion.of(i);
        LabelRow {
            label: name.clone(),
            precision: Some(f.precision),
            recall: Some(f.recall),
            f1: Some(f.f1),
            support: f.support,
            predicted: f.predicted,
        }
    };
    let counts = confusion.counts();
    let mut confused: Vec<(u64, usize, usize)> = (0..names.len())
        .flat_map(|right| (0..names.len()).map(move |predicted| (right, predicted)))
        .filter(|(right, predicted)| right != predicted && counts[*right][*predicted] > 0)
        .map(|(right, predicted)| (counts[right][predicted], right, predicted))
        .collect();
    confused.sort_by_key(|&(n, right, predicted)| (std::cmp::Reverse(n), right, predicted));
    let confused = confused.into_iter().take(CONFUSED).map(|(n, right, predicted)| {
        ConfusedLabels { right: names[right].clone(), predicted: names[predicted].clone(), n }
    });
    FinetuneSummary {
        per_label: Some(names.iter().enumerate().map(row).collect()),
        confusion: (names.len() <= MATRIX)
            .then(|| Matrix { labels: names.to_vec(), counts: counts.to_vec() }),
        confused: Some(confused.collect()),
        ..FinetuneSummary::default()
    }
}
