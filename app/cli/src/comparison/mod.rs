//! Comparisons: the same tasks learned by models that were pretrained in different ways.
//!
//! A comparison is a recipe of recipes: each of `models` is pretrained with each seed, and each result
//! is fine-tuned on each of `tasks`. Every one of these is a run of its own in the comparison's folder, so
//! what is done is skipped and what was cut off goes on.

mod grid;
mod result;

use std::path::{Path, PathBuf};

use athanor_store::{Check, Error, Problem, Recipe, Result, section};

use crate::context::MOST_THREADS;

pub use grid::{check, run};
pub use result::rows;

section! {
    /// A recipe that takes part.
    pub struct EntrySection {
        /// Its name in the table.
        name: String = String::new(),
        /// The recipe, from this file's folder: with [pretrain] for a model, with [finetune] for a task.
        recipe: PathBuf = PathBuf::new(),
        /// Overrides of its keys, as --set takes them: "pretrain.train.steps=900".
        set: Vec<String> = Vec::new(),
        /// For a task: the measure that the table shows; the task's first if empty.
        metric: String = String::new(),
    }
}

impl Check for EntrySection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(!slug(&self.name).is_empty(), "name", "must have a letter or a digit")?;
        Problem::unless(!self.recipe.as_os_str().is_empty(), "recipe", "must name a recipe")
    }
}

section! {
    /// Models that are pretrained in different ways and fine-tuned on the same tasks.
    pub struct ComparisonSection {
        /// The comparison's name; empty: the name of the file.
        name: String = String::new(),
        /// Its folder, from the current folder; not set: runs/NAME.
        out: Option<PathBuf> = None,
        /// Each model is made once with each of these.
        seeds: Vec<u64> = vec![1, 2, 3],
        /// CPU threads; 0: all cores. Results do not depend on it.
        threads: usize = 0,
        /// What is pretrained.
        models: Vec<EntrySection> = Vec::new(),
        /// What each model is fine-tuned on.
        tasks: Vec<EntrySection> = Vec::new(),
    }
}

impl Check for ComparisonSection {
    fn check(&self) -> Result<(), Problem> {
        let plain = !self.name.contains(['/', '\\']) && self.name != "." && self.name != "..";
        Problem::unless(plain, "name", "must be the name of a folder, not a path")?;
        Problem::unless(!self.seeds.is_empty(), "seeds", "must name at least one seed")?;
        let different = |names: &mut Vec<String>| {
            names.sort();
            names.windows(2).all(|w| w[0] != w[1])
        };
        let mut seeds = self.seeds.iter().map(u64::to_string).collect();
        Problem::unless(different(&mut seeds), "seeds", "names a seed twice")?;
        Problem::unless(
            self.threads <= MOST_THREADS,
            "threads",
            format!("is {}, it must be 0 to {MOST_THREADS}", self.threads),
        )?;
        for (key, entries) in [("models", &self.models), ("tasks", &self.tasks)] {
            Problem::unless(!entries.is_empty(), key, "must have at least one entry")?;
            let mut names = entries.iter().map(|e| slug(&e.name)).collect();
            Problem::unless(different(&mut names), key, "has two entries of the same name")?;
        }
        Ok(())
    }
}

/// The section that makes a recipe a comparison.
pub const NAME: &str = "comparison";

/// A checked comparison.
pub struct Comparison {
    pub section: ComparisonSection,
    /// What `name` is, or the file's name.
    pub name: String,
    /// Where everything is written.
    pub out: PathBuf,
    pub recipe: Recipe,
}

/// Reads and checks a comparison; its recipes are checked by [`run`].
///
/// # Errors
/// Input, at the file and line or the `--set`.
pub fn load(path: &Path, set: &[String], out: Option<&Path>) -> Result<Comparison> {
    let recipe = Recipe::load(path, set)?;
    if !recipe.has(NAME) {
        return Err(Error::input(format!("the recipe has no section [{NAME}]"))
            .at(path.display())
            .hint("recipes/comparison.toml is an example; `athanor run` runs other recipes"));
    }
    recipe.check_names(&[(NAME, <ComparisonSection as athanor_store::Section>::keys)])?;
    let section: ComparisonSection = recipe.section(NAME)?;
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
    let name = match section.name.as_str() {
        "" => stem.unwrap_or_else(|| NAME.into()),
        name => name.to_owned(),
    };
    let out = out.map(Path::to_owned).or_else(|| section.out.clone());
    let out = out.unwrap_or_else(|| Path::new("runs").join(&name));
    Ok(Comparison { section, name, out, recipe })
}

/// A name as a folder: letters and digits of any script, small, the rest as dashes.
fn slug(name: &str) -> String {
    let words = name.to_lowercase();
    let words = words.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join("-")
}
