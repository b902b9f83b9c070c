//! The reward model: how often it agrees with people, against a TF-IDF baseline, and whether it knows how sure to be.

use athanor_store::figures::{
    GAP, GapRow, HELDOUT_ACCURACY, OBSERVED, PREDICTED, RewardSummary, TFIDF_ACCURACY, Training,
};

use super::{prelude::*, training::curves};
use crate::plot::{Bar, Dot, calibration, grouped};

pub fn key(stage: &StageFiles) -> String {
    let summary: RewardSummary = stage.summary();
    let Some(accuracy) = summary.heldout_accuracy else { return String::new() };
    let base = |b| format!(" ({} {})", TFIDF_ACCURACY.title, format::percent(b));
    let base = summary.tfidf_accuracy.map_or_else(String::new, base);
    format!("{} {}{base}", HELDOUT_ACCURACY.title, format::percent(accuracy))
}

pub fn view(run: &RunFiles) -> Option<Value> {
    let (stage, summary) = shown::<RewardSummary>(run)?;
    let (accuracy, base) = (summary.heldout_accuracy, summary.tfidf_accuracy);
    let pairs = summary.pairs_heldout.filter(|n| *n > 0);
    // Half the width of a 95 % interval of a proportion (normal approximation).
    let margin =
        accuracy.zip(pairs).map(|(p, n)| 1.96 * (p * (1.0 - p) / n as f64).max(0.0).sqrt());
    let mut figures = Figures::default();
    if !stage.summary.is_null() {
        figures.add("accuracy by gap", by_gap(&summary.by_gap));
        let dots = summary.calibration.iter().map(|row| Dot {
            x: row.predicted.unwrap_or(f64::NAN),
            y: row.observed.unwrap_or(f64::NAN),
            weight: row.pairs.map_or(f64::NAN, |n| n as f64),
        });
        let dots: Vec<Dot> = dots.collect();
        figures.add("calibration", calibration("Calibration", [&PREDICTED, &OBSERVED], &dots));
    }
    figures.extend(curves(&stage.metrics));
    let rest = RewardSummary {
        training: Training::default(),
        texts_train: None,
        pairs_heldout: None,
        heldout_accuracy: None,
        tfidf_accuracy: None,
        by_gap: Vec::new(),
        calibration: Vec::new(),
        ece: None,
        ..summary.clone()
    };
    Some(view! {
        stage => header(stage, &rest),
        summary => summary,
        margin => margin,
        lead => accuracy.zip(base).map(|(a, b)| 100.0 * (a - b)),
        sure => accuracy.zip(base).zip(margin).map(|((a, b), m)| (a - b).abs() > m),
        figures => figures,
    })
}

fn by_gap(rows: &[GapRow]) -> Option<Plot> {
    let bar = |row: &GapRow| {
        let end = |end: Option<f64>| end.map(format::short);
        let label = match (end(row.from), end(row.to)) {
            (Some(from), Some(to)) => format!("{from}–{to}"),
            (Some(from), None) => format!("{from} and up"),
            (None, Some(to)) => format!("up to {to}"),
            (None, None) => format::NONE.into(),
        };
        let values = [row.accuracy, row.tfidf].map(|share| share.unwrap_or(f64::NAN));
        Bar { label, values: values.to_vec() }
    };
    let groups: Vec<Bar> = rows.iter().map(bar).collect();
    let series = [("s1", "reward model"), ("s4", TFIDF_ACCURACY.title)];
    let mut figure = grouped("Accuracy by size of gap", GAP.title, &series, &groups, 0.5)?;
    let pairs: Vec<String> =
        rows.iter().filter_map(|r| r.pairs).map(|n| format::count(n as f64)).collect();
    if pairs.len() == rows.len() {
        figure.note += &format!("; pairs in each group: {}", pairs.join(", "));
    }
    Some(figure)
}
