//! What summary.json tells of labels: figures of each, and which are taken for which.

use serde_json::{Map, Value, json};

use crate::{labels::Labels, metrics::Confusion};

/// Labels above this make a matrix that nobody reads.
const MATRIX: usize = 40;
/// Confusions that are listed.
const CONFUSED: usize = 20;

/// What summary.json tells of each label, and which are taken for which.
pub(crate) fn of_labels(labels: &Labels, confusion: &Confusion) -> Map<String, Value> {
    let names = labels.names();
    let per_label: Vec<Value> = (names.iter().enumerate())
        .map(|(i, name)| {
            let f = confusion.of(i);
            json!({
                "label": name, "precision": f.precision, "recall": f.recall, "f1": f.f1,
                "support": f.support, "predicted": f.predicted,
            })
        })
        .collect();
    let counts = confusion.counts();
    let mut confused: Vec<(u64, usize, usize)> = (0..names.len())
        .flat_map(|right| (0..names.len()).map(move |predicted| (right, predicted)))
        .filter(|(right, predicted)| right != predicted && counts[*right][*predicted] > 0)
        .map(|(right, predicted)| (counts[right][predicted], right, predicted))
        .collect();
    confused.sort_by_key(|&(n, right, predicted)| (std::cmp::Reverse(n), right, predicted));
    let confused: Vec<Value> = (confused.into_iter().take(CONFUSED))
        .map(|(n, a, b)| json!({ "right": names[a], "predicted": names[b], "n": n }))
        .collect();
    let mut details = Map::new();
    details.insert("per_label".into(), per_label.into());
    if names.len() <= MATRIX {
        details.insert("confusion".into(), json!({ "labels": names, "counts": counts }));
    }
    details.insert("confused".into(), confused.into());
    details
}
