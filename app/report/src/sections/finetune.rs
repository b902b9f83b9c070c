//! Finetuning: the same curves, and a table of tasks.

use minijinja::Value;
use serde_json::{Value as Json, json};

use super::{Section, pretrain, shown, view, words};
use crate::{
    format,
    run_files::{RunFiles, StageFiles, list, number},
};

pub const SECTION: Section = Section {
    id: "finetune",
    title: "Finetune",
    template: include_str!("../../templates/training.html"),
    view,
    key: Some(key),
};

fn key(stage: &StageFiles) -> String {
    let tasks = list(&stage.summary, "tasks").iter().filter_map(|task| {
        let value = number(task, &["value"])?;
        Some(format!(
            "{} {} {}",
            words(task.get("name")),
            words(task.get("metric")),
            format::number(value)
        ))
    });
    let tasks: Vec<String> = tasks.take(3).collect();
    if tasks.is_empty() { pretrain::key(stage) } else { tasks.join(", ") }
}

fn view(run: &RunFiles) -> Option<Value> {
    let stage = shown(run, "finetune")?;
    let tasks = list(&stage.summary, "tasks");
    let baseline_is = tasks.iter().find_map(|t| t["baseline_is"].as_str());
    let tasks = view! {
        tasks => tasks,
        baselines => tasks.iter().any(|t| number(t, &["baseline"]).is_some()),
        baseline_is => baseline_is,
        labels => by_support(&stage.summary, "per_label"),
        entities => by_support(&stage.summary, "per_entity"),
        matrix => matrix(&stage.summary["confusion"]),
        confused => list(&stage.summary, "confused"),
    };
    Some(minijinja::value::merge_maps([tasks, pretrain::common(stage)]))
}

/// Figures of labels, the commonest first.
fn by_support(summary: &Json, key: &str) -> Vec<Json> {
    let mut rows = list(summary, key).to_vec();
    rows.sort_by_key(|row| std::cmp::Reverse(row["support"].as_u64()));
    rows
}

/// The rows of a confusion matrix: a label, and for each label the count and its share of the row.
fn matrix(confusion: &Json) -> Vec<Json> {
    let labels = list(confusion, "labels");
    let rows = labels.iter().zip(list(confusion, "counts")).map(|(label, counts)| {
        let counts: Vec<u64> =
            counts.as_array().into_iter().flatten().map(|n| n.as_u64().unwrap_or(0)).collect();
        let all = counts.iter().sum::<u64>().max(1) as f64;
        let cells = counts.iter().map(|&n| json!({ "n": n, "share": n as f64 / all }));
        json!({ "label": words(Some(label)), "cells": cells.collect::<Vec<_>>() })
    });
    rows.collect()
}
