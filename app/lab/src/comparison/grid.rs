//! The runs of a comparison, one after another.

use std::path::{Path, PathBuf};

use athanor_store::{Error, Result, StageKind, sha256_bytes};
use athanor_tensor::Device;
use serde_json::Value;

use super::{Comparison, EntrySection, TextsSection, result, slug, texts};
use crate::{
    pipeline,
    plan::{self, Plan, RunOptions, absolute},
    session::Session,
    stages::STAGES,
};

/// One run: a model with a seed, or a task learned by it.
struct Cell<'a> {
    recipe: PathBuf,
    /// Overrides of all models.
    common: &'a [String],
    entry: &'a EntrySection,
    out: PathBuf,
    seed: u64,
    /// Overrides after the entry's own.
    set: Vec<String>,
}

impl Cell<'_> {
    fn plan(&self, comparison: &Comparison, force: bool) -> Result<Plan> {
        let mut set = self.common.to_vec();
        set.extend(self.entry.set.iter().cloned());
        set.extend(self.set.iter().cloned());
        set.push(format!("run.threads={}", comparison.section.threads));
        if let Some(folder) = &comparison.section.folder {
            set.push(format!("run.folder={}", quoted(folder)));
        }
        let (out, seed) = (Some(self.out.clone()), Some(self.seed));
        let device = comparison.section.device.clone();
        let options = RunOptions { out, seed, set, force, device };
        plan::load(&self.recipe, &options)
    }
}

/// A path as a value of `--set`.
fn quoted(path: &Path) -> String {
    Value::from(absolute(path).to_string_lossy()).to_string()
}

/// The folder of a model's run.
fn folder_of(comparison: &Comparison, entry: &EntrySection, seed: u64) -> PathBuf {
    comparison.out.join(slug(&entry.name)).join(format!("seed-{seed}"))
}

/// What a comparison consists of.
struct Grid<'a> {
    /// All runs in their order, each with its stage.
    cells: Vec<(Cell<'a>, &'static StageKind)>,
    /// What each of the models computes on.
    devices: Vec<Device>,
    /// The file of each of the texts.
    texts: Vec<(&'a TextsSection, PathBuf)>,
}

/// Every recipe is read and checked.
fn grid(comparison: &Comparison, force: bool) -> Result<Grid<'_>> {
    let section = &comparison.section;
    let (pretrain, corpus) = (STAGES.find("pretrain")?, STAGES.find("corpus")?);
    let mut corpora: Vec<(String, PathBuf)> = Vec::new();
    // The corpus of each model that has one, and whether it keeps its texts.
    let mut read: Vec<(&str, PathBuf, bool)> = Vec::new();
    let mut first = Vec::new();
    let (mut models, mut devices) = (Vec::new(), Vec::new());
    let seed = section.seeds[0];
    for entry in &section.models {
        let recipe = comparison.recipe.resolve(&entry.recipe);
        let cell = |out, seed, set| Cell {
            recipe: recipe.clone(),
            common: &section.set,
            entry,
            out,
            seed,
            set,
        };
        let plan = cell(comparison.out.join("any"), seed, Vec::new()).plan(comparison, force)?;
        need(&plan, pretrain)?;
        devices.push(plan.run.device()?);
        let mut set = Vec::new();
        if plan.recipe.has(corpus.name) && !plan.recipe.has("pretrain.corpus") {
            // Models that read the same corpus share it.
            let resolved = (corpus.resolved)(&plan.recipe)?;
            let from = absolute(plan.recipe.dir());
            let mut own = Vec::new();
            if !entry.tokenizer_of.is_empty() {
                let (_, place, _) = of(&read, &entry.tokenizer_of, "tokenizer_of")?;
                own.push(format!("corpus.tokenizer.load={}", quoted(&place.join("tokenizer"))));
            }
            let made_of = sha256_bytes(format!("{resolved}{}{own:?}", from.display()).as_bytes());
            let place = corpora.iter().find(|(of, _)| *of == made_of).map(|(_, at)| at.clone());
            let place = place.unwrap_or_else(|| {
                let at = comparison.out.join("corpora").join(slug(&entry.name));
                corpora.push((made_of, at.clone()));
                first.push((cell(at.clone(), seed, own), corpus));
                at
            });
            let place = place.join(corpus.name);
            set.push(format!("pretrain.corpus={}", quoted(&place)));
            read.push((&entry.name, place, resolved["write_texts"] == true));
        }
        for &seed in section.seeds_of(entry) {
            models.push((cell(folder_of(comparison, entry, seed), seed, set.clone()), pretrain));
        }
    }
    let finetune = STAGES.find("finetune")?;
    let mut tasks = Vec::new();
    for task in &section.tasks {
        for entry in &section.models {
            for &seed in section.seeds_of(entry) {
                let recipe = comparison.recipe.resolve(&task.recipe);
                let base = folder_of(comparison, entry, seed);
                let model = quoted(&base.join(pretrain.name).join("model"));
                let set = vec![format!("finetune.model={model}")];
                let out = base.join("tasks").join(slug(&task.name));
                tasks.push((Cell { recipe, common: &[], entry: task, out, seed, set }, finetune));
            }
        }
        if let Some((Cell { recipe, entry, out, seed, .. }, _)) = tasks.last() {
            let probe = |set| Cell {
                recipe: recipe.clone(),
                common: &[],
                entry,
                out: out.clone(),
                seed: *seed,
                set,
            };
            need(&probe(Vec::new()).plan(comparison, force)?, finetune)?;
            // The model comes later; the data must be there now.
            let plan = probe(vec!["finetune.model=\".\"".to_owned()]).plan(comparison, force)?;
            (finetune.check_files)(&plan.recipe, &comparison.out)?;
        }
    }
    let mut texts = Vec::new();
    for entry in &section.texts {
        let from = match &entry.path {
            Some(path) => comparison.recipe.resolve(path),
            None => {
                let (name, place, kept) = of(&read, &entry.heldout_of, "heldout_of")?;
                if !kept {
                    return Err(Error::input(format!("the corpus of {name:?} keeps no texts"))
                        .at(comparison.recipe.name())
                        .hint("set corpus.write_texts = true in its recipe"));
                }
                place.join("texts.jsonl")
            }
        };
        if entry.path.is_some() {
            std::fs::metadata(&from).map_err(|e| Error::io("read", &from, e))?;
        }
        texts.push((entry, from));
    }
    let cells = first.into_iter().chain(models).chain(tasks).collect();
    Ok(Grid { cells, devices, texts })
}

/// The corpus of the model of this name.
fn of<'a, 'b>(
    read: &'a [(&'b str, PathBuf, bool)],
    name: &str,
    key: &str,
) -> Result<&'a (&'b str, PathBuf, bool)> {
    read.iter().find(|(of, ..)| *of == name).ok_or_else(|| {
        Error::input(format!("{key}: the recipe of {name:?} has no corpus of its own"))
            .hint("give it a section [corpus], and no pretrain.corpus")
    })
}

/// Reads and checks every recipe of a comparison; how many runs it has.
///
/// # Errors
/// Those of the recipes.
pub fn check(comparison: &Comparison) -> Result<usize> {
    Ok(grid(comparison, false)?.cells.len())
}

/// Runs what is not done yet and writes comparison.json, comparison.md and report.html into the
/// comparison's folder; the table is complete, or this is an error.
///
/// # Errors
/// Those of the recipes, before anything runs; of the first run that fails; interrupted.
pub fn run(session: &Session, comparison: &Comparison, force: bool) -> Result<Value> {
    let section = &comparison.section;
    let grid = grid(comparison, force)?;
    for (i, (cell, stage)) in grid.cells.iter().enumerate() {
        let plan = cell.plan(comparison, force)?;
        let shown = cell.out.strip_prefix(&comparison.out).unwrap_or(&cell.out);
        let (at, of) = (i + 1, grid.cells.len());
        session.console.say(&format!("{at} of {of}: {} in {}", stage.name, shown.display()));
        pipeline::run(session, plan, Some(stage))?;
    }
    let folder = comparison.out.join("texts");
    let gathered = grid.texts.iter().map(|(entry, from)| texts::gather(entry, from, &folder));
    let gathered: Vec<_> = gathered.collect::<Result<_>>()?;
    let models = section.models.iter().zip(&grid.devices);
    for (model, &device) in models.filter(|_| !gathered.is_empty()) {
        for &seed in section.seeds_of(model) {
            let run = folder_of(comparison, model, seed);
            let shown = run.strip_prefix(&comparison.out).unwrap_or(&run);
            let subject = texts::Measured::open(run.join("pretrain/model"), device)?;
            for ((entry, _), texts) in grid.texts.iter().zip(&gathered) {
                session.console.say(&format!("texts {:?} by {}", entry.name, shown.display()));
                subject.on(session, texts, &result::text_file(&run, entry))?;
            }
        }
    }
    result::write(comparison, |entry, seed| folder_of(comparison, entry, seed))
}

fn need(plan: &Plan, stage: &StageKind) -> Result<()> {
    if plan.recipe.has(stage.name) {
        return Ok(());
    }
    Err(Error::input(format!("the recipe has no section [{}]", stage.name))
        .at(plan.recipe.name())
        .hint("models need [pretrain], tasks need [finetune]"))
}
