//! A run folder: its stages, whether each is done, and the key figures.

use std::path::Path;

use athanor_store::Result;
use serde_json::{Value, json};

use super::{Kind, show_facts};
use crate::{
    format,
    run_files::{RunFiles, STAGES, StageFiles, list, number, string},
    sections::key_line,
    table::{Align, Table},
};

pub const KIND: Kind = Kind { name: "run", matches, describe, show };

fn matches(path: &Path) -> bool {
    let stages = || STAGES.iter().any(|s| path.join(s).is_dir());
    let stamped =
        |s: &&str| ["done.json", "started.json"].iter().any(|f| path.join(s).join(f).is_file());
    path.join("recipe.toml").is_file()
        || (path.join("manifest.json").is_file() && stages())
        || STAGES.iter().any(stamped)
}

fn describe(path: &Path) -> Result<Value> {
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

/// What is known of a stage; `seconds` is null when nothing was timed.
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

fn seconds(stage: &Value) -> String {
    number(stage, &["seconds"]).map_or_else(String::new, format::seconds)
}

fn show(value: &Value) -> String {
    let facts = [
        ("name", string(value, "name").to_owned()),
        ("date", string(value, "date").to_owned()),
        ("athanor", string(value, "athanor").to_owned()),
        (
            "seed",
            value.get("seed").filter(|s| !s.is_null()).map_or_else(String::new, Value::to_string),
        ),
    ];
    let mut table = Table::new(&[
        ("stage", Align::Left),
        ("state", Align::Left),
        ("time", Align::Right),
        ("checkpoints", Align::Right),
        ("key figure", Align::Left),
    ]);
    for stage in list(value, "stages") {
        let checkpoints = list(stage, "checkpoints").len().to_string();
        table.row([
            string(stage, "name"),
            &words(stage),
            &seconds(stage),
            &checkpoints,
            string(stage, "key_figure"),
        ]);
    }
    format!("{}\n{table}{}", show_facts(&facts), notes(value))
}

/// One stage for people.
pub fn show_stage(value: &Value) -> String {
    let newest = list(value, "checkpoints").last().and_then(Value::as_str).unwrap_or_default();
    let facts = [
        ("state", words(value)),
        ("key figure", string(value, "key_figure").to_owned()),
        ("time", seconds(value)),
        ("newest checkpoint", newest.to_owned()),
        ("lines of metrics", super::count(value, "metrics")),
        ("samples", super::count(value, "samples")),
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
