//! A run folder: its stages, whether each is done, and the key figures.

use super::prelude::*;
use crate::{
    run_files::{RunFiles, STAGES, StageFiles},
    sections::key_line,
};

pub fn matches(path: &Path) -> bool {
    let stages = || STAGES.iter().any(|s| path.join(s).is_dir());
    let stamped =
        |s: &&str| ["done.json", "started.json"].iter().any(|f| path.join(s).join(f).is_file());
    path.join("recipe.toml").is_file()
        || (path.join("manifest.json").is_file() && stages())
        || STAGES.iter().any(stamped)
}

pub fn describe(path: &Path) -> Result<Value> {
    let files = RunFiles::load(path)?;
    let stages: Vec<Value> = files.stages.iter().map(stage_json).collect();
    Ok(json!({
        "name": files.name,
        "athanor": files.manifest.get("athanor"),
        "seed": files.manifest.get("seed"),
        "date": files.date.map(format::date),
        "stages": stages,
        "notes": files.notes,
    }))
}

/// What is known about a stage; `seconds` is null when nothing was timed.
pub fn stage_json(stage: &StageFiles) -> Value {
    json!({
        "name": stage.name,
        "status": stage.status,
        "key_figure": key_line(stage),
        "seconds": stage.seconds().filter(|s| s.is_finite()),
        "checkpoints": stage.checkpoints,
        "metrics": stage.metrics.len(),
        "samples": stage.samples.len(),
        "summary": stage.summary,
        "notes": stage.notes,
    })
}

fn words(stage: &Value) -> String {
    string(stage, "status").replace('_', " ")
}

pub fn show(value: &Value) -> String {
    let facts = [
        ("name", string(value, "name").to_owned()),
        ("date", string(value, "date").to_owned()),
        ("athanor", string(value, "athanor").to_owned()),
        (
            "seed",
            value.get("seed").filter(|s| !s.is_null()).map_or_else(String::new, Value::to_string),
        ),
    ];
    let titles = ["stage", "state", ">time", ">checkpoints", "key figure"];
    let table = show_table(&titles, list(value, "stages"), |stage| {
        let checkpoints = list(stage, "checkpoints").len().to_string();
        let (name, key) = (string(stage, "name"), string(stage, "key_figure"));
        let time = amount(stage, "seconds", format::seconds);
        vec![name.into(), words(stage), time, checkpoints, key.into()]
    });
    format!("{}\n{table}{}", show_facts(&facts), notes(value))
}

/// One stage for people.
pub fn show_stage(value: &Value) -> String {
    let newest = list(value, "checkpoints").last().and_then(Value::as_str).unwrap_or_default();
    let facts = [
        ("state", words(value)),
        ("key figure", string(value, "key_figure").to_owned()),
        ("time", amount(value, "seconds", format::seconds)),
        ("newest checkpoint", newest.to_owned()),
        ("lines of metrics", count(value, "metrics")),
        ("samples", count(value, "samples")),
    ];
    show_facts(&facts) + &notes(value)
}

fn notes(value: &Value) -> String {
    list(value, "notes")
        .iter()
        .filter_map(Value::as_str)
        .map(|note| format!("note: {note}\n"))
        .collect()
}
