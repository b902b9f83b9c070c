//! What an objective of pretraining hides and how well it is guessed, beside guesses that need no
//! network.

use minijinja::Value;
use serde_json::Value as Json;

use super::{Section, view};
use crate::{
    format,
    plot::{Figures, LinePlot},
    run_files::RunFiles,
    series::{Rows, column},
};

pub const SECTION: Section = Section {
    id: "objective",
    title: "Hidden tokens",
    template: include_str!("../../templates/objective.html"),
    view,
    key: None,
};

/// Names of `masking` in summary.json and what they are.
const MASKING: &[(&str, &str)] = &[
    ("rate", "tokens that are targets"),
    ("mask_share", "of these: the mask"),
    ("random_share", "of these: a random token"),
    ("kept_share", "of these: left as they are"),
    ("whole_words", "words with a target whose tokens all are"),
    ("foreign_pairs", "segment pairs whose second does not follow"),
];
/// The same as plain numbers.
const COUNTS: &[(&str, &str)] = &[
    ("unit_length", "tokens of a unit (token, word or span)"),
    ("targets", "targets counted"),
    ("rows", "rows counted"),
    ("tokens_per_row", "tokens of a row"),
    ("lanes", "lanes with a memory each"),
    ("rows_per_lane", "rows of a lane"),
    ("chinese_words", "Chinese words learnt from the corpus"),
];

fn view(run: &RunFiles) -> Option<Value> {
    let stage = run.stage("pretrain")?;
    let held = |key: &'static str| column(&stage.metrics, Rows::Heldout, &[key]);
    if held("unigram_loss").is_empty() && stage.summary.get("masking").is_none() {
        return None;
    }
    let mut figures = Figures::default();
    let generator = !held("generator_loss").is_empty();
    let (loss, accuracy) = match generator {
        true => ("generator_loss", "generator_accuracy"),
        false => ("loss", "accuracy"),
    };
    let who = if generator { "generator" } else { "model" };
    for (title, unit, own, unigram, bigram, both) in [
        ("Hidden tokens: loss", "nats", loss, "unigram_loss", "bigram_loss", "both_sides_loss"),
        (
            "Hidden tokens: right guesses",
            "share",
            accuracy,
            "unigram_accuracy",
            "bigram_accuracy",
            "both_sides_accuracy",
        ),
    ] {
        let plot = LinePlot::new(title, unit)
            .marked(who, "s1", held(own))
            .curve("by frequency", "s2", held(unigram))
            .curve("by the token before", "s3", held(bigram))
            .curve("by both neighbours", "s4", held(both));
        figures.add(title, plot.figure());
    }
    if !held("pairs_accuracy").is_empty() {
        let majority = stage.summary.pointer("/baseline/pairs_majority").and_then(Json::as_f64);
        let level = |y: f64| held("pairs_accuracy").iter().map(|p| (p.0, y)).collect();
        let mut plot = LinePlot::new("Segment pairs: right answers", "share").marked(
            "model",
            "s1",
            held("pairs_accuracy"),
        );
        if let Some(y) = majority {
            plot = plot.curve("the commoner answer", "s2", level(y));
        }
        figures.add("segment pairs", plot.figure());
    }
    if !held("majority").is_empty() {
        let plot = LinePlot::new("Discriminator: right answers", "share")
            .marked("discriminator", "s1", held("accuracy"))
            .curve("the commoner answer", "s2", held("majority"));
        figures.add("discriminator", plot.figure());
        let plot = LinePlot::new("Replaced tokens found", "share")
            .marked("F1", "s1", held("f1"))
            .marked("precision", "s2", held("precision"))
            .marked("recall", "s3", held("recall"));
        figures.add("replaced tokens", plot.figure());
    }
    let masking = stage.summary.get("masking");
    let value = |name: &str| masking.and_then(|m| m.get(name)).and_then(Json::as_f64);
    let mut rows: Vec<(&str, String)> = Vec::new();
    for &(name, words) in MASKING {
        rows.extend(value(name).map(|v| (words, format::percent(v))));
    }
    for &(name, words) in COUNTS {
        rows.extend(value(name).map(|v| (words, format::number(v))));
    }
    let words = masking.and_then(|m| m.get("chinese_words_first")).and_then(Json::as_str);
    Some(view! {
        figures => figures,
        rows => rows,
        words => words.map(|w| format::clip(w, 200)),
    })
}
