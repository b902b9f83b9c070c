//! The sections of the report: a file, a template and a line in [`SECTIONS`] for each.

mod corpus;
mod finetune;
mod glossary;
mod objective;
mod pretrain;
mod provenance;
mod recipe;
mod reinforce;
mod reward;
mod samples;
mod training;

use minijinja::Value;
use serde_json::Value as Json;

use crate::{
    format,
    run_files::{RunFiles, StageFiles},
};

/// A template's context from names and anything that serializes.
macro_rules! view {
    ($($key:ident => $value:expr),* $(,)?) => {
        minijinja::Value::from(std::collections::BTreeMap::from([
            $((stringify!($key), minijinja::Value::from(minijinja::value::Serde(&$value)))),*
        ]))
    };
}
pub(crate) use view;

/// One section of the page.
pub struct Section {
    /// The anchor, and the name of the stage where it shows one.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// The template's source; it sees what `view` gives.
    pub template: &'static str,
    /// What the template needs; none leaves the section out.
    pub view: fn(&RunFiles) -> Option<Value>,
    /// For a stage: its key figure in one line, empty where there is none yet.
    pub key: Option<fn(&StageFiles) -> String>,
}

/// In the order of the page.
pub const SECTIONS: &[Section] = &[
    corpus::SECTION,
    pretrain::SECTION,
    objective::SECTION,
    finetune::SECTION,
    reward::SECTION,
    reinforce::SECTION,
    samples::SECTION,
    recipe::SECTION,
    provenance::SECTION,
    glossary::SECTION,
];

/// A stage's key figure in one line; empty where nothing is known.
pub fn key_line(stage: &StageFiles) -> String {
    SECTIONS
        .iter()
        .find(|s| s.id == stage.name)
        .and_then(|s| s.key)
        .map_or_else(String::new, |key| key(stage))
}

/// The stage if the report has something to say about it: its folder is there, or its recipe asks for it.
fn shown<'a>(run: &'a RunFiles, name: &str) -> Option<&'a StageFiles> {
    run.stage(name).filter(|s| s.status != crate::run_files::Status::NotInRun)
}

/// What every stage's template gets as `stage`; `told` are the keys of the summary shown elsewhere.
fn header(stage: &StageFiles, told: &[&str]) -> Value {
    let mut others = Vec::new();
    flatten("", &stage.summary, told, &mut others);
    view! {
        name => stage.name,
        status => stage.status,
        words => stage.status.words(),
        seconds => stage.seconds(),
        notes => stage.notes,
        checkpoints => stage.checkpoints.len(),
        newest => stage.checkpoints.last(),
        others => others,
    }
}

/// Scalars of a summary as (name, value), nested names with dots; lists by their length.
fn flatten(prefix: &str, value: &Json, told: &[&str], out: &mut Vec<(String, String)>) {
    let Json::Object(map) = value else { return };
    for (key, value) in map {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if told.contains(&name.as_str()) || out.len() >= 100 {
            continue;
        }
        match value {
            Json::Object(_) => flatten(&name, value, told, out),
            Json::Number(n) => out.push((name, format::number(n.as_f64().unwrap_or(f64::NAN)))),
            Json::String(s) => out.push((name, format::clip(s, 300))),
            Json::Bool(b) => out.push((name, b.to_string())),
            Json::Null => out.push((name, format::NONE.into())),
            Json::Array(rows) if rows.iter().all(Json::is_number) && rows.len() <= 12 => {
                let numbers = rows.iter().filter_map(Json::as_f64).map(format::number);
                out.push((name, numbers.collect::<Vec<_>>().join(", ")));
            }
            Json::Array(rows) => out.push((name, format!("{} entries", rows.len()))),
        }
    }
}

/// Text of a field that should be a string; anything else as JSON.
fn words(value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(s)) => s.clone(),
        Some(other) => other.to_string(),
    }
}
