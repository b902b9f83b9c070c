//! Finetuning: the same curves as pretraining, and figures of the task.

use athanor_store::figures::{Confusion, FinetuneSummary, LabelRow, Training};
use serde_json::json;

use super::{prelude::*, training::Trained};

fn trained<'a>(stage: &'a StageFiles, summary: &FinetuneSummary) -> Trained<'a, FinetuneSummary> {
    let Training { parameters, tokens, .. } = summary.training;
    let loss = summary.heldout_loss;
    let rest = FinetuneSummary {
        training: Training::default(),
        heldout_loss: None,
        tasks: Vec::new(),
        per_label: None,
        per_entity: None,
        confusion: None,
        confused: None,
        ..summary.clone()
    };
    let labelled = summary.per_label.is_some();
    Trained { stage, rest, loss, bits: None, parameters, tokens, labelled }
}

pub fn key(stage: &StageFiles) -> String {
    let summary: FinetuneSummary = stage.summary();
    let figures = summary.tasks.iter().filter_map(|task| {
        Some(format!("{} {} {}", task.name, task.metric, format::number(task.value?)))
    });
    let figures: Vec<String> = figures.take(3).collect();
    if figures.is_empty() { trained(stage, &summary).key() } else { figures.join(", ") }
}

pub fn view(run: &RunFiles) -> Option<Value> {
    let (stage, summary) = shown::<FinetuneSummary>(run)?;
    let common = trained(stage, &summary).view();
    let tasks = view! {
        baselines => summary.tasks.iter().any(|t| t.baseline.is_some()),
        baseline_is => summary.tasks.iter().find_map(|t| t.baseline_is.as_ref()),
        tasks => summary.tasks,
        labels => by_support(summary.per_label),
        entities => by_support(summary.per_entity),
        matrix => summary.confusion.map(matrix),
        confused => summary.confused,
    };
    Some(minijinja::value::merge_maps([tasks, common]))
}

/// Figures of labels, the commonest first.
fn by_support(rows: Option<Vec<LabelRow>>) -> Vec<LabelRow> {
    let mut rows = rows.unwrap_or_default();
    rows.sort_by_key(|row| std::cmp::Reverse(row.support));
    rows
}

/// The rows of a confusion matrix: a label, and for each label the count and its share of the row.
fn matrix(confusion: Confusion) -> Vec<Json> {
    let rows = confusion.labels.iter().zip(&confusion.counts).map(|(label, counts)| {
        let all = counts.iter().sum::<u64>().max(1) as f64;
        let cells = counts.iter().map(|&n| json!({ "n": n, "share": n as f64 / all }));
        json!({ "label": label, "cells": cells.collect::<Vec<_>>() })
    });
    rows.collect()
}
