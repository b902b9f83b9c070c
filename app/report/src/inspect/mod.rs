//! Describes what is at a path: a run, a stage, a checkpoint, shards, a model, arrays, a GGUF file or a recipe.
//!
//! One file and one line in [`KINDS`] for each kind. What is known is gathered as JSON first;
//! the text for people is made from that, so that both always say the same.

mod arrays;
mod checkpoint;
mod gguf;
mod model;
mod recipe;
mod run;
mod shards;
mod stage;

use std::path::Component;

use athanor_store::sha256_file;
use prelude::*;

use crate::table::clean;

/// What the files of the kinds import.
mod prelude {
    pub(super) use std::path::Path;

    pub(super) use athanor_store::{Error, Result, read_json};
    pub(super) use serde_json::{Map, Value, json};

    pub(super) use super::{
        amount, count, inside, intact, show_facts, show_files, show_table, size, verify,
    };
    pub(super) use crate::{
        format,
        run_files::{entries, list, number, string},
        table::Table,
    };
}

/// Something that a path can be.
struct Kind {
    /// Its name, `kind` in the JSON.
    name: &'static str,
    /// Whether the path looks like it, without reading much.
    matches: fn(&Path) -> bool,
    /// Everything known about it, as an object.
    describe: fn(&Path) -> Result<Value>,
    /// The description for people.
    show: fn(&Value) -> String,
}

/// The kind of a file here.
macro_rules! kind {
    ($file:ident, $name:literal) => {
        Kind { name: $name, matches: $file::matches, describe: $file::describe, show: $file::show }
    };
}

/// The first that matches counts.
const KINDS: &[Kind] = &[
    kind!(checkpoint, "checkpoint"),
    kind!(shards, "shards"),
    kind!(model, "model"),
    kind!(run, "run"),
    kind!(stage, "stage"),
    kind!(arrays, "arrays"),
    kind!(gguf, "GGUF file"),
    kind!(recipe, "recipe"),
];

/// Describes what is at `path`, for people.
///
/// # Errors
/// Input when there is nothing there, when it is nothing of ours, or when its files are damaged.
pub fn inspect(path: &Path) -> Result<String> {
    let (kind, value) = look(path)?;
    Ok(format!("{}: {}\n{}", clean(&path.display().to_string()), kind.name, (kind.show)(&value)))
}

/// The same for programs: an object with `kind`, `path` and what is known of that kind.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_json(path: &Path) -> Result<Value> {
    let (kind, value) = look(path)?;
    let mut out = json!({ "kind": kind.name, "path": path.display().to_string() });
    if let (Some(out), Value::Object(value)) = (out.as_object_mut(), value) {
        out.extend(value);
    }
    Ok(out)
}

fn look(path: &Path) -> Result<(&'static Kind, Value)> {
    if !path.exists() {
        return Err(Error::input("no such file or folder").at(path.display()));
    }
    let known = "a run, a stage, a checkpoint, a shard folder, a model folder, a .safetensors or .gguf file or a recipe (.toml)";
    match KINDS.iter().find(|kind| (kind.matches)(path)) {
        Some(kind) => Ok((kind, (kind.describe)(path)?)),
        None if path.is_dir() => Err(Error::input("this folder is nothing that Athanor knows")
            .at(path.display())
            .hint(format_args!("expected {known}"))),
        None => Err(Error::input("this file is nothing that Athanor knows")
            .at(path.display())
            .hint(format_args!("expected {known}"))),
    }
}

/// The files of a manifest and whether they are still what it says: name, bytes, sha256, state.
fn verify(dir: &Path, hashes: &[(String, String)]) -> Vec<Value> {
    let check = |(name, expected): &(String, String)| {
        if !inside(name) {
            return json!({ "name": name, "sha256": expected, "state": "not read: its name leads out of the folder" });
        }
        let path = dir.join(name);
        let state = match sha256_file(&path) {
            Ok(found) if found.eq_ignore_ascii_case(expected) => "ok".to_owned(),
            Ok(_) => "damaged: the hash differs".to_owned(),
            Err(_) if !path.exists() => "missing".to_owned(),
            Err(error) => format!("unreadable: {error}"),
        };
        json!({ "name": name, "bytes": size(&path), "sha256": expected, "state": state })
    };
    hashes.iter().map(check).collect()
}

/// Whether a name from a manifest stays in its folder: others must not be opened.
fn inside(name: &str) -> bool {
    Path::new(name).components().all(|c| matches!(c, Component::Normal(_)))
}

fn size(path: &Path) -> Option<u64> {
    Some(std::fs::metadata(path).ok()?.len())
}

/// Whether every verified file is whole.
fn intact(files: &[Value]) -> bool {
    files.iter().all(|f| string(f, "state") == "ok")
}

/// A table with a row for each object of a list.
fn show_table(titles: &[&str], rows: &[Value], cells: impl Fn(&Value) -> Vec<String>) -> String {
    let mut table = Table::with_titles(titles);
    rows.iter().for_each(|row| _ = table.row(cells(row)));
    table.to_string()
}

/// A table of verified files.
fn show_files(value: &Value) -> String {
    show_table(&["file", ">size", "sha256", ""], list(value, "files"), |file| {
        let bytes = number(file, &["bytes"]).map_or_else(|| format::NONE.into(), format::bytes);
        let short = string(file, "sha256").chars().take(12).collect();
        vec![string(file, "name").into(), bytes, short, string(file, "state").into()]
    })
}

/// Lines of `name  value`, those without a value left out.
fn show_facts(facts: &[(&str, String)]) -> String {
    let mut table = Table::with_titles(&["", ""]);
    for (name, value) in facts.iter().filter(|(_, v)| !v.is_empty()) {
        table.row([*name, value.as_str()]);
    }
    table.to_string()
}

/// The number under `key` as `show` writes it; empty if there is none.
fn amount(value: &Value, key: &str, show: fn(f64) -> String) -> String {
    number(value, &[key]).map_or_else(String::new, show)
}

fn count(value: &Value, key: &str) -> String {
    amount(value, key, format::count)
}
