//! From what the user names to a model folder: the folder itself, a stage's or a run's.

use std::path::{Path, PathBuf};

use athanor_lab::stages::STAGES;
use athanor_models::Model;
use athanor_store::{Error, Result, read_json};
use serde_json::Value;

use crate::{context::Context, out};

/// What the model is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Any model.
    Any,
    /// One that writes text: a run's reward model is passed over.
    Writer,
}

const CONFIG: &str = "config.json";

/// The model folder behind `path`; tells the user which one it is if it is another than `path`.
///
/// # Errors
/// Input, if there is no model.
pub fn resolve(context: &Context, path: &Path, want: Want) -> Result<PathBuf> {
    let found = find(path, want)?;
    if found != path && !context.quiet {
        out::note(&format!("model: {}", found.display()));
    }
    Ok(found)
}

/// Opens a model folder, and says what its file held beyond the model.
///
/// # Errors
/// Those of [`Model::load`].
pub fn open(context: &Context, dir: &Path) -> Result<Model> {
    let model = Model::load(dir, context.device())?;
    say_left_over(dir, &model);
    Ok(model)
}

/// Says what a folder's file held beyond the model that was opened from it.
pub fn say_left_over(dir: &Path, model: &Model) {
    let left_over = model.left_over();
    if let Some(warning) = left_over.warning() {
        let name = out::styled("33", "warning:");
        out::note(&format!("{name} {}: {warning}", dir.display()));
    }
    if let Some(remark) = left_over.remark() {
        out::note(&format!("{}: {remark}", dir.display()));
    }
}

/// The model of a run that writes text, if it has one.
pub fn writer_of(run: &Path) -> Option<PathBuf> {
    find(run, Want::Writer).ok()
}

fn find(path: &Path, want: Want) -> Result<PathBuf> {
    if !path.exists() {
        return Err(Error::input("no such model folder").at(path.display()).hint(
            "give a model folder (with config.json), a stage's folder or a run's folder; models \
             are not downloaded",
        ));
    }
    if path.is_file() {
        return Err(Error::input("a model is a folder, this is a file").at(path.display()).hint(
            match path.extension().is_some_and(|e| e == "gguf") {
                true => "make a folder of it first: athanor import FILE.gguf --output DIR",
                false => "give the folder that holds config.json and model.safetensors",
            },
        ));
    }
    let candidates = std::iter::once(path.to_owned())
        .chain(std::iter::once(path.join("model")))
        .chain(of_run(path));
    let mut passed_over = None;
    for folder in candidates.filter(|f| f.join(CONFIG).is_file()) {
        if want == Want::Writer && !writes(&folder) {
            passed_over.get_or_insert(folder);
            continue;
        }
        return Ok(folder);
    }
    Err(match passed_over {
        Some(folder) => Error::input("this model scores texts, it does not write any")
            .at(folder.display())
            .hint("its config.json names no …ForCausalLM; give a model that does"),
        None => Error::input("no model in this folder: neither config.json nor model/config.json")
            .at(path.display())
            .hint(
                "`athanor inspect` tells what a folder is; a run has a model once a stage is done",
            ),
    })
}

/// The models of a run's stages, the last stage's first.
fn of_run(path: &Path) -> Vec<PathBuf> {
    let place = |name: &str| STAGES.iter().position(|s| s.name == name);
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .map(|name| (place(&name), name))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, name)| path.join(name).join("model")).collect()
}

fn writes(folder: &Path) -> bool {
    // A config that cannot be read is an error when the model is loaded.
    let config: Value = read_json(&folder.join(CONFIG)).unwrap_or_default();
    let name = config["architectures"][0].as_str().unwrap_or_default();
    name.is_empty() || name.ends_with("ForCausalLM") || name.ends_with("LMHeadModel")
}
