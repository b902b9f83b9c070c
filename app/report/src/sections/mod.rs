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

use athanor_store::figures::Summary;
use prelude::*;
use serde::Serialize;
use serde_json::Map;

use crate::run_files::Status;

/// What the sections import.
mod prelude {
    pub(super) use minijinja::Value;
    pub(super) use serde_json::Value as Json;

    pub(super) use super::{header, shown, view, words};
    pub(super) use crate::{
        format,
        plot::{Figure as Plot, Figures, LinePlot},
        run_files::{RunFiles, StageFiles, list, number},
        series::{Rows, column, value},
    };
}

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
    /// The anchor; the stage's name if it shows one.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// The template's source; it sees what `view` gives.
    pub template: &'static str,
    /// What the template needs; none leaves the section out.
    pub view: fn(&RunFiles) -> Option<Value>,
    /// For a stage: its key figure in one line, empty if there is none yet.
    pub key: Option<fn(&StageFiles) -> String>,
}

/// A section: its file, heading and template; `key` if it shows a stage.
macro_rules! section {
    ($file:ident, $title:literal, $template:literal) => {
        section!(@ $file, $title, $template, None)
    };
    ($file:ident, $title:literal, $template:literal, $key:ident) => {
        section!(@ $file, $title, $template, Some($file::$key))
    };
    (@ $file:ident, $title:literal, $template:literal, $key:expr) => {
        Section {
            id: stringify!($file),
            title: $title,
            template: include_str!(concat!("../../templates/", $template, ".html")),
            view: $file::view,
            key: $key,
        }
    };
}

/// In the order of the page.
pub const SECTIONS: &[Section] = &[
    section!(corpus, "Corpus", "corpus", key),
    section!(pretrain, "Pretrain", "training", key),
    section!(objective, "Hidden tokens", "objective"),
    section!(finetune, "Finetune", "training", key),
    section!(reward, "Reward", "reward", key),
    section!(reinforce, "Reinforce", "reinforce", key),
    section!(samples, "Samples", "samples"),
    section!(recipe, "Recipe", "recipe"),
    section!(provenance, "Versions and hashes", "provenance"),
    section!(glossary, "Glossary", "glossary"),
];

/// A stage's key figure in one line; empty if nothing is known.
pub fn key_line(stage: &StageFiles) -> String {
    SECTIONS
        .iter()
        .find(|s| s.id == stage.name)
        .and_then(|s| s.key)
        .map_or_else(String::new, |key| key(stage))
}

/// A stage with its summary, if the report has something to say about it: its folder is there, or its recipe asks
/// for it.
fn shown<T: Summary>(run: &RunFiles) -> Option<(&StageFiles, T)> {
    let stage = run.stage(T::STAGE).filter(|s| s.status != Status::NotInRun)?;
    Some((stage, stage.summary()))
}

/// What every stage's template gets as `stage`; `rest` is the summary without the fields that are shown elsewhere.
fn header(stage: &StageFiles, rest: &impl Summary) -> Value {
    let mut others = Vec::new();
    flatten("", &filled(rest), &[], &mut others);
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

/// The fields of an object that hold something.
fn filled(object: &impl Serialize) -> Json {
    let is_filled = |value: &Json| match value {
        Json::Null => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(rows) => !rows.is_empty(),
        _ => true,
    };
    match serde_json::to_value(object) {
        Ok(Json::Object(map)) => map.into_iter().filter(|(_, v)| is_filled(v)).collect(),
        _ => Map::new().into(),
    }
}

/// Scalars of an object as (name, value), nested names with dots, lists by their length; without those in `shown`.
fn flatten(prefix: &str, value: &Json, shown: &[&str], out: &mut Vec<(String, String)>) {
    let Json::Object(map) = value else { return };
    for (key, value) in map {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if shown.contains(&name.as_str()) || out.len() >= 100 {
            continue;
        }
        match value {
            Json::Object(_) => flatten(&name, value, shown, out),
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
