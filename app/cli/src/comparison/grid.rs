//! The runs of a comparison, one after another.

use std::path::{Path, PathBuf};

use athanor_store::{Error, Result, sha256_bytes};
use serde_json::Value;

use super::{Comparison, EntrySection, result, slug};
use crate::{
    context::Context,
    pipeline,
    plan::{self, Plan, RunArgs, absolute},
    stages::{self, Stage},
};

/// One run: a model with a seed, or a task learned by it.
struct Cell<'a> {
    recipe: PathBuf,
    entry: &'a EntrySection,
    out: PathBuf,
    seed: u64,
    /// Overrides behind the entry's own.
    set: Vec<String>,
}

impl Cell<'_> {
    fn plan(&self, force: bool, threads: usize) -> Result<Plan> {
        let mut set = self.entry.set.clone();
        set.extend(self.set.iter().cloned());
        set.push(format!("run.threads={threads}"));
        let args = RunArgs { out: Some(self.out.clone()), seed: Some(self.seed), set, force };
        plan::load(&self.recipe, &args)
    }
}

/// A path as a value of `--set`.
fn quoted(path: &Path) -> String {
    Value::from(absolute(path).to_string_lossy()).to_string()
}

/// The folder of a model's run.
fn folder(comparison: &Comparison, entry: &EntrySection, seed: u64) -> PathBuf {
    comparison.out.join(slug(&entry.name)).join(format!("seed-{seed}"))
}

/// All runs in their order, each with its stage; every recipe is read and checked.
fn cells(comparison: &Comparison, force: bool) -> Result<Vec<(Cell<'_>, &'static Stage)>> {
    let section = &comparison.section;
    let (pretrain, corpus) = (stages::by_name("pretrain")?, stages::by_name("corpus")?);
    let mut corpora: Vec<(String, PathBuf)> = Vec::new();
    let mut first = Vec::new();
    let mut models = Vec::new();
    let seed = section.seeds[0];
    for entry in &section.models {
        let recipe = comparison.recipe.resolve(&entry.recipe);
        let cell = |out, seed, set| Cell { recipe: recipe.clone(), entry, out, seed, set };
        let plan =
            cell(comparison.out.join("any"), seed, Vec::new()).plan(force, section.threads)?;
        need(&plan, pretrain)?;
        let mut set = Vec::new();
        if plan.recipe.has(corpus.name) && !plan.recipe.has("pretrain.corpus") {
            // Models that read the same corpus share it.
            let resolved = (corpus.resolved)(&plan.recipe)?;
            let from = absolute(plan.recipe.dir());
            let made_of = sha256_bytes(format!("{resolved}{}", from.display()).as_bytes());
            let place = corpora.iter().find(|(of, _)| *of == made_of).map(|(_, at)| at.clone());
            let place = place.unwrap_or_else(|| {
                let at = comparison.out.join("corpora").join(slug(&entry.name));
                corpora.push((made_of, at.clone()));
                first.push((cell(at.clone(), seed, Vec::new()), corpus));
                at
            });
            set.push(format!("pretrain.corpus={}", quoted(&place.join(corpus.name))));
        }
        for &seed in &section.seeds {
            models.push((cell(folder(comparison, entry, seed), seed, set.clone()), pretrain));
        }
    }
    let finetune = stages::by_name("finetune")?;
    let mut tasks = Vec::new();
    for task in &section.tasks {
        for entry in &section.models {
            for &seed in &section.seeds {
                let recipe = comparison.recipe.resolve(&task.recipe);
                let base = folder(comparison, entry, seed);
                let model = quoted(&base.join(pretrain.name).join("model"));
                let set = vec![format!("finetune.model={model}")];
                let out = base.join("tasks").join(slug(&task.name));
                tasks.push((Cell { recipe, entry: task, out, seed, set }, finetune));
            }
        }
        if let Some((Cell { recipe, entry, out, seed, .. }, _)) = tasks.last() {
            let probe =
                |set| Cell { recipe: recipe.clone(), entry, out: out.clone(), seed: *seed, set };
            need(&probe(Vec::new()).plan(force, section.threads)?, finetune)?;
            // The model comes later; the data must be there now.
            let plan =
                probe(vec!["finetune.model=\".\"".to_owned()]).plan(force, section.threads)?;
            (finetune.check_files)(&plan.recipe, &comparison.out)?;
        }
    }
    Ok(first.into_iter().chain(models).chain(tasks).collect())
}

/// Reads and checks every recipe of a comparison; how many runs it has.
///
/// # Errors
/// Those of the recipes.
pub fn check(comparison: &Comparison) -> Result<usize> {
    Ok(cells(comparison, false)?.len())
}

/// Runs what is not done yet and writes comparison.json, comparison.md and report.html into the
/// comparison's folder; the table is complete, or this is an error.
///
/// # Errors
/// Those of the recipes, before anything runs; of the first run that fails; interrupted.
pub fn run(context: &Context, comparison: &Comparison, force: bool) -> Result<Value> {
    let section = &comparison.section;
    let all = cells(comparison, force)?;
    for (i, (cell, stage)) in all.iter().enumerate() {
        let plan = cell.plan(force, section.threads)?;
        let shown = cell.out.strip_prefix(&comparison.out).unwrap_or(&cell.out);
        let (at, of) = (i + 1, all.len());
        context.console.say(&format!("{at} of {of}: {} in {}", stage.name, shown.display()));
        pipeline::run(context, plan, Some(stage))?;
    }
    result::write(comparison, |entry, seed| folder(comparison, entry, seed))
}

fn need(plan: &Plan, stage: &Stage) -> Result<()> {
    if plan.recipe.has(stage.name) {
        return Ok(());
    }
    Err(Error::input(format!("the recipe has no section [{}]", stage.name))
        .at(plan.recipe.name())
        .hint("models need [pretrain], tasks need [finetune]"))
}
