//! Comparisons of models that were pretrained in different ways.
//!
//! A comparison is a recipe of recipes: each of `models` is pretrained with each seed, and each result
//! is fine-tuned on each of `tasks`, measured on each of `texts`, and timed until it is as good as the model
//! that `reach` names. Each training is a run of its own in the comparison's folder, so finished runs are
//! skipped and interrupted ones go on.

mod grid;
mod reach;
mod result;
mod texts;

use std::path::{Path, PathBuf};

use athanor_store::{Check, Error, Problem, Recipe, Result, section};

use crate::{plan::known_device, session::MOST_THREADS};

pub use grid::{check, run};
pub use result::rows;
use texts::TextsSection;

section! {
    /// A recipe that takes part.
    pub struct EntrySection {
        /// Its name in the table.
        name: String = String::new(),
        /// The recipe, from this file's folder: with [pretrain] for a model, with [finetune] for a task.
        recipe: PathBuf = PathBuf::new(),
        /// Overrides of its keys, as --set takes them: "pretrain.train.steps=900".
        set: Vec<String> = Vec::new(),
        /// For a model: how many of the comparison's seeds it is made with, from the first on; 0: all.
        seeds: usize = 0,
        /// For a model: the model before it whose corpus's tokenizer its own corpus takes.
        tokenizer_of: String = String::new(),
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
    /// Models that are pretrained in different ways and compared.
    pub struct ComparisonSection {
        /// The comparison's name; empty: the name of the file.
        name: String = String::new(),
        /// Its folder, from the current folder; not set: runs/NAME.
        out: Option<PathBuf> = None,
        /// Where relative paths of the recipes' stages start from, as run.folder; not set: each recipe's folder.
        folder: Option<PathBuf> = None,
        /// Each model is made once with each of these.
        seeds: Vec<u64> = vec![1, 2, 3],
        /// CPU threads; 0: all cores. Results do not depend on it.
        threads: usize = 0,
        /// What computes, as run.device; not set: each recipe's own.
        device: Option<String> = None,
        /// Overrides of every model's recipe, before its own.
        set: Vec<String> = Vec::new(),
        /// What is pretrained.
        models: Vec<EntrySection> = Vec::new(),
        /// What each model is fine-tuned on.
        tasks: Vec<EntrySection> = Vec::new(),
        /// What each model is measured on as it is, in bits per byte.
        texts: Vec<TextsSection> = Vec::new(),
        /// Model whose last held-out loss the others are timed to; empty: none.
        reach: String = String::new(),
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
        self.device.iter().try_for_each(|name| known_device(name))?;
        Problem::unless(!self.models.is_empty(), "models", "must have at least one entry")?;
        let asked = !self.tasks.is_empty() || !self.texts.is_empty() || !self.reach.is_empty();
        Problem::unless(
            asked,
            "tasks",
            "must have at least one entry if there are no texts and no reach",
        )?;
        for (key, entries) in [("models", &self.models), ("tasks", &self.tasks)] {
            let mut names = entries.iter().map(|e| slug(&e.name)).collect();
            Problem::unless(different(&mut names), key, "has two entries of the same name")?;
        }
        let mut names = self.texts.iter().map(|t| slug(&t.name)).collect();
        Problem::unless(different(&mut names), "texts", "has two entries of the same name")?;
        let known = |name: &str, among: &[EntrySection]| {
            name.is_empty() || among.iter().any(|m| m.name == name)
        };
        Problem::unless(known(&self.reach, &self.models), "reach", "must be the name of a model")?;
        let whole = self.models.iter().all(|m| m.name != self.reach || m.seeds == 0);
        Problem::unless(whole, "reach", "must be a model that is made with all seeds")?;
        let held = self.texts.iter().all(|t| known(&t.heldout_of, &self.models));
        Problem::unless(held, "texts", "has a heldout_of that is not the name of a model")?;
        let before = |(i, m): (usize, &EntrySection)| known(&m.tokenizer_of, &self.models[..i]);
        let taken = self.models.iter().enumerate().all(before);
        Problem::unless(
            taken,
            "models",
            "has a tokenizer_of that is not the name of a model before it",
        )?;
        Ok(())
    }
}

impl ComparisonSection {
    /// The seeds that a model is made with.
    fn seeds_of(&self, model: &EntrySection) -> &[u64] {
        let most = if model.seeds == 0 { self.seeds.len() } else { model.seeds };
        &self.seeds[..most.min(self.seeds.len())]
    }
}

/// The section that makes a recipe a comparison.
pub const NAME: &str = "comparison";

/// A checked comparison.
pub struct Comparison {
    /// Its keys.
    pub section: ComparisonSection,
    /// What `name` is, or the file's name.
    pub name: String,
    /// Where everything is written.
    pub out: PathBuf,
    /// The recipe as read.
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
