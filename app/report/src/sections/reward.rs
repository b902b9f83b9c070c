//! The reward model: how often it agrees with people, against a TF-IDF baseline, and whether it knows how sure to be.

use minijinja::Value;

use super::{Section, header, shown, training::curves, view};
use crate::{
    format,
    plot::{Bar, Dot, Figures, calibration, grouped},
    run_files::{RunFiles, StageFiles, list, number},
};

pub const SECTION: Section = Section {
    id: "reward",
    title: "Reward",
    template: include_str!("../../templates/reward.html"),
    view,
    key: Some(key),
};

fn key(stage: &StageFiles) -> String {
    let Some(accuracy) = number(&stage.summary, &["heldout_accuracy"]) else {
        return String::new();
    };
    let base = number(&stage.summary, &["tfidf_accuracy"]);
    let base = base.map_or_else(String::new, |b| format!(" (TF-IDF {})", format::percent(b)));
    format!("held-out accuracy {}{base}", format::percent(accuracy))
}

fn view(run: &RunFiles) -> Option<Value> {
    let stage = shown(run, "reward")?;
    let summary = &stage.summary;
    let (accuracy, base) =
        (number(summary, &["heldout_accuracy"]), number(summary, &["tfidf_accuracy"]));
    let pairs = number(summary, &["pairs_heldout"]).filter(|n| *n > 0.0);
    // Half the width of a 95 % interval of a proportion (normal approximation).
    let margin = accuracy.zip(pairs).map(|(p, n)| 1.96 * (p * (1.0 - p) / n).max(0.0).sqrt());
    let mut figures = Figures::default();
    if !summary.is_null() {
        figures.add("accuracy by gap", by_gap(stage));
        let dots = list(summary, "calibration").iter().map(|row| {
            let get = |key| number(row, &[key]).unwrap_or(f64::NAN);
            Dot { x: get("predicted"), y: get("observed"), weight: get("pairs") }
        });
        figures.add("calibration", calibration("Calibration", &dots.collect::<Vec<_>>()));
    }
    let curves = curves(&stage.metrics, "nats", false);
    figures.shown.extend(curves.shown);
    figures.absent.extend(curves.absent);
    const TOLD: &[&str] = &[
        "seconds",
        "parameters",
        "tokens",
        "heldout_accuracy",
        "tfidf_accuracy",
        "pairs_train",
        "pairs_heldout",
        "by_gap",
        "calibration",
        "ece",
    ];
    Some(view! {
        stage => header(stage, TOLD),
        summary => summary,
        margin => margin,
        lead => accuracy.zip(base).map(|(a, b)| 100.0 * (a - b)),
        sure => accuracy.zip(base).zip(margin).map(|((a, b), m)| (a - b).abs() > m),
        figures => figures,
    })
}

fn by_gap(stage: &StageFiles) -> Option<crate::plot::Figure> {
    let rows = list(&stage.summary, "by_gap");
    let groups = rows.iter().map(|row| {
        let end = |key| number(row, &[key]).map(format::short);
        let label = match (end("from"), end("to")) {
            (Some(from), Some(to)) => format!("{from}–{to}"),
            (Some(from), None) => format!("{from} and up"),
            (None, Some(to)) => format!("up to {to}"),
            (None, None) => format::NONE.into(),
        };
        let get = |key| number(row, &[key]).unwrap_or(f64::NAN);
        Bar { label, values: vec![get("accuracy"), get("tfidf")] }
    });
    let groups: Vec<Bar> = groups.collect();
    let series = [("s1", "reward model"), ("s4", "TF-IDF baseline")];
    let mut figure = grouped(
        "Accuracy by size of gap",
        "gap between the two texts' ratings",
        &series,
        &groups,
        0.5,
    )?;
    let pairs: Vec<String> =
        rows.iter().filter_map(|r| number(r, &["pairs"])).map(format::count).collect();
    if pairs.len() == rows.len() {
        figure.note += &format!("; pairs in each group: {}", pairs.join(", "));
    }
    Some(figure)
}
