//! A stage's folder inside a run.

pub use super::run::show_stage as show;
use super::{prelude::*, run};
use crate::run_files::{RunFiles, STAGES};

fn name(path: &Path) -> Option<&'static str> {
    let path = path.canonicalize().ok()?;
    let name = path.file_name()?.to_str()?;
    STAGES.into_iter().find(|s| *s == name)
}

pub fn matches(path: &Path) -> bool {
    let files = ["done.json", "started.json", "metrics.jsonl", "summary.json", "checkpoints"];
    name(path).is_some() && files.iter().any(|f| path.join(f).exists())
}

pub fn describe(path: &Path) -> Result<Value> {
    let folder = path.canonicalize().unwrap_or_else(|_| path.into());
    let files = RunFiles::load(folder.parent().unwrap_or(path))?;
    Ok(name(path).and_then(|n| files.stage(n)).map_or(Value::Null, run::stage_json))
}
