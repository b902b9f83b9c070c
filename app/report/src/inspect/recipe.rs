//! A recipe: its sections and how many keys each sets.

use athanor_store::read_text;

use super::prelude::*;
use crate::run_files::STAGES;

pub fn matches(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|e| e == "toml")
}

pub fn describe(path: &Path) -> Result<Value> {
    let text = read_text(path)?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(0, |s| text.get(..s.start).unwrap_or_default().matches('\n').count())
            + 1;
        Error::input(error.message()).at(format_args!("{}:{line}", path.display()))
    })?;
    let known = STAGES.iter().filter(|s| table.contains_key(**s)).count();
    let sections = table.iter().filter(|(_, v)| v.is_table() || v.is_array());
    let sections = sections.map(|(name, value)| json!({ "name": name, "keys": keys(value) }));
    let sections: Vec<Value> = sections.collect();
    if known == 0 {
        return Err(Error::input("this TOML file has no section of a stage, so it is no recipe")
            .at(path.display())
            .hint(format_args!("a recipe has one or more of [{}]", STAGES.join("], ["))));
    }
    let settings: serde_json::Map<String, Value> = table
        .iter()
        .filter(|(_, v)| !v.is_table() && !v.is_array())
        .map(|(k, v)| (k.clone(), serde_json::to_value(v).unwrap_or_default()))
        .collect();
    Ok(json!({ "settings": settings, "sections": sections }))
}

/// The keys that hold a value, at any depth.
fn keys(value: &toml::Value) -> usize {
    match value {
        toml::Value::Table(table) => table.values().map(keys).sum(),
        toml::Value::Array(rows) if rows.iter().any(toml::Value::is_table) => {
            rows.iter().map(keys).sum()
        }
        _ => 1,
    }
}

pub fn show(value: &Value) -> String {
    let table = show_table(&["section", ">keys"], list(value, "sections"), |section| {
        vec![string(section, "name").into(), amount(section, "keys", format::number)]
    });
    let settings = value.get("settings").and_then(Value::as_object).into_iter().flatten();
    let settings: String = settings.map(|(k, v)| format!("{k} = {v}\n")).collect();
    format!("{settings}{table}")
}
