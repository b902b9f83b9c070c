//! A stage's folder inside a run.

use std::path::Path;

use athanor_store::Result;
use serde_json::Value;

use super::{Kind, run};
use crate::run_files::{RunFiles, STAGES};

pub const KIND: Kind = Kind { name: "stage", matches, describe, show: run::show_stage };

fn name(path: &Path) -> Option<&'static str> {
    let path = path.canonicalize().ok()?;
    let name = path.file_name()?.to_str()?;
    STAGES.into_iter().find(|s| *s == name)
}

fn matches(path: &Path) -> bool {
    let files = ["done.json", "started.json", "metrics.jsonl", "summary.json", "checkpoints"];
    name(path).is_some() && files.iter().any(|f| path.join(f).exists())
}

fn describe(path: &Path) -> Result<Value> {
    let folder = path.canonicalize().unwrap_or_else(|_| path.into());
    let files = RunFiles::load(folder.parent().unwrap_or(path))?;
    Ok(name(path).and_then(|n| files.stage(n)).map_or(Value::Null, run::stage_json))
}
