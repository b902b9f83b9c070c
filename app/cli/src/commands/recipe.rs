//! `athanor recipe`: all keys of a recipe, or a check of one.

use std::path::PathBuf;

use athanor_lab::{
    comparison::{self, ComparisonSection},
    plan::{self, RUN, RunOptions, RunSection},
    stages::{self, STAGES},
};
use athanor_store::{Error, Key, Recipe, Result, describe, nearest, recipe::section_key};
use serde_json::{Value, json};

use crate::{context::Context, out};

/// Show every key of a recipe with its default, or check a recipe
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  athanor recipe > my.toml                     a recipe of all defaults, to edit
  athanor recipe corpus                        one section
  athanor recipe --check my.toml               says `good`, or what is wrong and where")]
pub struct Args {
    /// One section only
    #[arg(conflicts_with = "check")]
    section: Option<String>,
    /// Checks this recipe; nothing is run
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// With --check, overrides a key
    #[arg(long, value_name = "KEY=VALUE", requires = "check")]
    set: Vec<String>,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    if let Some(path) = args.check {
        if Recipe::load(&path, &args.set)?.has(comparison::NAME) {
            let found = comparison::load(&path, &args.set, None)?;
            let runs = comparison::check(&found)?;
            if context.json {
                return out::json(&json!({ "good": true, "runs": runs, "out": found.out }));
            }
            let (path, folder) = (path.display(), found.out.display());
            return out::line(&format!("{path}: good; a comparison of {runs} runs; folder: {folder}"));
        }
        let plan = plan::load(&path, &RunOptions { set: args.set, ..RunOptions::default() })?;
        let stages: Vec<&str> = plan.stages.iter().map(|s| s.name).collect();
        if context.json {
            return out::json(&json!({ "good": true, "stages": stages, "out": plan.out }));
        }
        let (stages, folder) = (stages.join(", "), plan.out.display());
        return out::line(&format!("{}: good; stages: {stages}; run folder: {folder}", path.display()));
    }
    let mut keys = vec![section_key::<RunSection>(RUN, "The run as a whole.")];
    keys.extend(STAGES.iter().map(stages::key));
    if let Some(name) = args.section {
        // Not part of a run's recipe, so not in the list of all keys.
        keys.push(section_key::<ComparisonSection>(comparison::NAME, "A comparison of recipes."));
        let names: Vec<String> = keys.iter().map(|k| k.name.clone()).collect();
        keys.retain(|k| k.name == name);
        if keys.is_empty() {
            let near = nearest(&name, names.iter().map(String::as_str));
            let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            return Err(Error::input(format!("no section `{name}`{near}"))
                .hint(format!("the sections are {}", names.join(", "))));
        }
    }
    if context.json {
        return out::json(&json(&keys));
    }
    out::print(&describe(&keys))
}

/// The keys for programs.
fn json(keys: &[Key]) -> Value {
    keys.iter()
        .map(|key| {
            let mut value = json!({ "name": key.name, "doc": key.doc, "watch": key.watch });
            if key.keys().is_empty() {
                value["default"] = key.default.clone();
                value["holds"] = key.shape.to_string().into();
            } else {
                value["list"] = key.shape.is_tables().into();
                value["keys"] = json(key.keys());
            }
            value
        })
        .collect()
}
