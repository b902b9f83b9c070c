//! Pretraining: the curves, the held-out figures and what the model wrote on the way.

use minijinja::Value;

use super::{Section, header, samples, shown, training::curves, view};
use crate::{
    format,
    run_files::{RunFiles, StageFiles, number},
    series::{Rows, column, last},
};

pub const SECTION: Section = Section {
    id: "pretrain",
    title: "Pretrain",
    template: include_str!("../../templates/training.html"),
    view,
    key: Some(key),
};

/// A held-out figure from the summary, or the last one in the metrics of a stage that was cut off.
pub fn heldout(stage: &StageFiles, summary: &str, metric: &[&str]) -> Option<f64> {
    number(&stage.summary, &[summary])
        .or_else(|| last(&column(&stage.metrics, Rows::Heldout, metric)))
}

pub fn key(stage: &StageFiles) -> String {
    let mut parts = Vec::new();
    if let Some(loss) = heldout(stage, "heldout_loss", &["loss"]) {
        parts.push(format!("held-out loss {} nats", format::number(loss)));
    }
    if let Some(bits) = heldout(stage, "heldout_bits_per_byte", &["bits_per_byte"]) {
        parts.push(format!("{} bits per byte", format::number(bits)));
    }
    if let (true, Some(loss)) =
        (parts.is_empty(), last(&column(&stage.metrics, Rows::Train, &["loss"])))
    {
        parts.push(format!("training loss {} nats", format::number(loss)));
    }
    parts.join(", ")
}

fn view(run: &RunFiles) -> Option<Value> {
    let stage = shown(run, "pretrain")?;
    Some(common(stage))
}

/// What training.html shows of either stage.
pub fn common(stage: &StageFiles) -> Value {
    const TOLD: &[&str] = &[
        "seconds",
        "parameters",
        "tokens",
        "heldout_loss",
        "heldout_bits_per_byte",
        "baseline",
        "tasks",
        "per_label",
        "per_entity",
        "confusion",
        "confused",
    ];
    let steps = column(&stage.metrics, Rows::Train, &["loss"]).last().map(|p| p.0);
    let baseline = stage.summary.get("baseline").is_some_and(|b| b.is_number());
    let told: Vec<&str> =
        TOLD.iter().copied().filter(|name| baseline || *name != "baseline").collect();
    // Where labels are learned there are no bytes to be told.
    let labelled = stage.summary.get("per_label").is_some();
    view! {
        stage => header(stage, &told),
        summary => stage.summary,
        baseline => number(&stage.summary, &["baseline"]),
        loss => heldout(stage, "heldout_loss", &["loss"]),
        bits => heldout(stage, "heldout_bits_per_byte", &["bits_per_byte"]),
        steps => steps,
        speed => stage.seconds().zip(number(&stage.summary, &["tokens"])).filter(|(s, _)| *s > 0.0).map(|(s, n)| n / s),
        labelled => labelled,
        figures => curves(&stage.metrics, "nats", !labelled),
        grid => samples::first_and_last(stage),
    }
}
