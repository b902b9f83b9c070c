//! Finetuning: the same curves, and a table of tasks.

use minijinja::Value;

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
    let tasks = view! {
        tasks => list(&stage.summary, "tasks"),
        baselines => list(&stage.summary, "tasks").iter().any(|t| number(t, &["baseline"]).is_some()),
    };
    Some(minijinja::value::merge_maps([tasks, pretrain::common(stage)]))
}
