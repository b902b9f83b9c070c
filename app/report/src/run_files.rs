//! What a run folder holds, read with tolerance: a file that is missing or damaged becomes a note.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use athanor_store::{
    Error, Result,
    figures::{
        CorpusSummary, FinetuneSummary, MetricsRow, PretrainSummary, ReinforceSummary,
        RewardSummary, Summary,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::mend;

/// The stages in their order.
pub const STAGES: [&str; 5] = {
    let [a, b, c, d, e] = SUMMARIES;
    [a.0, b.0, c.0, d.0, e.0]
};

/// How a summary.json is read: what does not fit its type is left out and noted.
type ReadSummary = fn(Value, &mut Vec<String>) -> Value;

const fn summary_of<T: Summary>() -> (&'static str, ReadSummary) {
    (T::STAGE, mend::summary::<T>)
}

/// The stages in their order, with the type of their summary.json.
const SUMMARIES: [(&str, ReadSummary); 5] = [
    summary_of::<CorpusSummary>(),
    summary_of::<PretrainSummary>(),
    summary_of::<FinetuneSummary>(),
    summary_of::<RewardSummary>(),
    summary_of::<ReinforceSummary>(),
];

/// How far a stage came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// done.json is there.
    Done,
    /// The folder is there, done.json is not.
    CutOff,
    /// The recipe asks for it; nothing is there yet.
    NotStarted,
    /// Neither the recipe nor the folder knows it.
    NotInRun,
}

impl Status {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::CutOff => "not finished",
            Self::NotStarted => "not started",
            Self::NotInRun => "not in this run",
        }
    }
}

/// One stage's files.
#[derive(Debug)]
pub struct StageFiles {
    pub name: &'static str,
    pub status: Status,
    /// summary.json without what is not of its type; [`StageFiles::summary`] gives it typed.
    pub summary: Value,
    pub done: Value,
    /// account.json, of the corpus stage.
    pub account: Value,
    pub metrics: Vec<MetricsRow>,
    pub samples: Vec<Value>,
    /// Names of the folders under checkpoints/, oldest first.
    pub checkpoints: Vec<String>,
    /// What could not be found or read, in words.
    pub notes: Vec<String>,
}

impl StageFiles {
    /// summary.json; every field is empty if there is none, or if it is another stage's.
    pub fn summary<T: Summary>(&self) -> T {
        let own = if self.name == T::STAGE { self.summary.clone() } else { Value::Null };
        serde_json::from_value(own).unwrap_or_default()
    }

    /// Seconds the stage took: from its summary, done.json, or the last line of its metrics.
    pub fn seconds(&self) -> Option<f64> {
        let last = self.metrics.iter().rev().find_map(|row| row.seconds);
        number(&self.summary, &["seconds"]).or_else(|| number(&self.done, &["seconds"])).or(last)
    }
}

/// A run folder's files.
#[derive(Debug)]
pub struct RunFiles {
    pub name: String,
    pub recipe: Option<String>,
    pub manifest: Value,
    /// Seconds since 1970: `started` of the manifest, or when the manifest was last written.
    pub date: Option<f64>,
    pub stages: Vec<StageFiles>,
    pub notes: Vec<String>,
}

impl RunFiles {
    /// Reads `dir`; an error only when it is no folder at all.
    pub fn load(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            let what = if dir.exists() {
                "a run folder was expected, this is a file"
            } else {
                "no such run folder"
            };
            return Err(Error::input(what)
                .at(dir.display())
                .hint("give the folder that `athanor run` wrote (it holds recipe.toml and a folder for each stage)"));
        }
        let mut notes = Vec::new();
        let recipe = text(&dir.join("recipe.toml"), &mut notes);
        let manifest = json(&dir.join("manifest.json"), &mut notes);
        let table: toml::Table = recipe.as_deref().and_then(|r| r.parse().ok()).unwrap_or_default();
        if table.is_empty() && recipe.is_some() {
            notes.push("recipe.toml could not be parsed".into());
        }
        let stages = SUMMARIES.map(|kind| stage(dir, kind, table.contains_key(kind.0))).into();
        let folder = dir.canonicalize().unwrap_or_else(|_| dir.into());
        let folder_name =
            folder.file_name().map_or_else(|| "run".into(), |n| n.to_string_lossy().into_owned());
        let named = ["name", "title"].iter().find_map(|k| {
            let inner = table.get("run").and_then(|r| r.get(k));
            table
                .get(*k)
                .or(inner)
                .and_then(|v| v.as_str())
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
        });
        let written =
            || modified(&dir.join("manifest.json")).or_else(|| modified(&dir.join("recipe.toml")));
        let date = number(&manifest, &["started"]).or_else(written);
        Ok(Self { name: named.unwrap_or(folder_name), recipe, manifest, date, stages, notes })
    }

    /// The files of the stage with this name.
    pub fn stage(&self, name: &str) -> Option<&StageFiles> {
        self.stages.iter().find(|s| s.name == name)
    }
}

fn stage(run: &Path, kind: (&'static str, ReadSummary), wanted: bool) -> StageFiles {
    let (name, read_summary) = kind;
    let dir = &run.join(name);
    let there = dir.is_dir();
    let mut notes = Vec::new();
    let mut stage = StageFiles {
        name,
        status: Status::NotInRun,
        summary: Value::Null,
        done: Value::Null,
        account: Value::Null,
        metrics: Vec::new(),
        samples: Vec::new(),
        checkpoints: folders(&dir.join("checkpoints")),
        notes: Vec::new(),
    };
    if !there {
        stage.status = if wanted { Status::NotStarted } else { Status::NotInRun };
        return stage;
    }
    let summary = json(&dir.join("summary.json"), &mut notes);
    stage.summary = read_summary(summary, &mut notes);
    stage.done = json(&dir.join("done.json"), &mut notes);
    stage.status = if stage.done.is_null() { Status::CutOff } else { Status::Done };
    if name == "corpus" {
        stage.account = json(&dir.join("account.json"), &mut notes);
    } else {
        stage.metrics = lines(&dir.join("metrics.jsonl"), &mut notes);
    }
    // Not every stage writes samples: no note when there are none.
    stage.samples = lines(&dir.join("samples.jsonl"), &mut Vec::new());
    stage.notes = notes;
    stage
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

fn text(path: &Path, notes: &mut Vec<String>) -> Option<String> {
    match fs::read(path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let why =
                if missing { "is missing".into() } else { format!("could not be read: {error}") };
            notes.push(format!("{} {why}", name_of(path)));
            None
        }
    }
}

fn json(path: &Path, notes: &mut Vec<String>) -> Value {
    let Some(text) = text(path, notes) else { return Value::Null };
    serde_json::from_str(&text).unwrap_or_else(|error| {
        notes.push(format!("{} is damaged: {error}", name_of(path)));
        Value::Null
    })
}

/// JSON lines; those that do not parse are counted, for one damaged line must not hide the rest.
fn lines<T: DeserializeOwned>(path: &Path, notes: &mut Vec<String>) -> Vec<T> {
    let Some(text) = text(path, notes) else { return Vec::new() };
    let filled: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let rows: Vec<T> = filled.iter().filter_map(|line| mend::row(line)).collect();
    let torn = filled.len() - rows.len();
    if torn > 0 {
        notes.push(format!(
            "{}: {torn} of {} lines could not be parsed and were left out",
            name_of(path),
            filled.len()
        ));
    }
    rows
}

/// The names of the folders in `dir` that are whole, sorted.
pub fn folders(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        entries(dir).iter().filter(|p| p.is_dir()).map(|p| name_of(p)).collect();
    names.retain(|name| !name.starts_with('.'));
    names
}

/// The paths in `dir`, sorted; none if it cannot be read.
pub fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).map_or_else(|_| Vec::new(), |d| d.flatten().map(|e| e.path()).collect());
    paths.sort();
    paths
}

fn modified(path: &Path) -> Option<f64> {
    let time = fs::metadata(path).ok()?.modified().ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

/// The first of `keys` that holds a number in `row`; `"NaN"` and the like count as NaN.
pub fn number(row: &Value, keys: &[&str]) -> Option<f64> {
    keys.iter().find_map(|key| match row.get(*key)? {
        Value::Number(n) => n.as_f64(),
        Value::String(s)
            if matches!(s.as_str(), "NaN" | "nan" | "inf" | "-inf" | "Infinity" | "-Infinity") =>
        {
            Some(f64::NAN)
        }
        _ => None,
    })
}

/// The text under `key`, or nothing.
pub fn string<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The list under `key`, or an empty one.
pub fn list<'a>(row: &'a Value, key: &str) -> &'a [Value] {
    row.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
