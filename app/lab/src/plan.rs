//! From a recipe and the options to what will be done: everything is checked before anything runs.

use std::path::{Path, PathBuf};

use athanor_store::{
    Check, Error, Problem, Recipe, Result, Section, StageKind, Task, recipe::KeysOf, section,
};
use athanor_tensor::Device;
use serde_json::Value;

use crate::{session::MOST_THREADS, stages::STAGES};

section! {
    /// The run as a whole.
    pub struct RunSection {
        /// The run's name; empty: the name of the recipe's file.
        #[watch]
        name: String = String::new(),
        /// The run's folder, from the current folder; not set: runs/NAME.
        #[watch]
        out: Option<PathBuf> = None,
        /// Where relative paths of the stages start from; not set: the recipe's folder.
        #[watch]
        folder: Option<PathBuf> = None,
        /// What all randomness comes from.
        seed: u64 = 1,
        /// CPU threads; 0: all cores. Results do not depend on it.
        #[watch]
        threads: usize = 0,
        /// What computes: cpu, or another device of this build. Results may differ between devices.
        device: String = "cpu".into(),
    }
}

impl RunSection {
    /// The device of the run.
    ///
    /// # Errors
    /// Input, for a name that no device of this build has.
    pub fn device(&self) -> Result<Device> {
        Device::by_name(&self.device).map_err(|e| Error::input(e).at("run.device"))
    }
}

impl Check for RunSection {
    fn check(&self) -> Result<(), Problem> {
        let bad = self.name.contains(['/', '\\']) || self.name == "." || self.name == "..";
        Problem::unless(!bad, "name", "must be the name of a folder, not a path")?;
        Problem::unless(
            self.threads <= MOST_THREADS,
            "threads",
            format!("is {}, it must be 0 to {MOST_THREADS}", self.threads),
        )?;
        known_device(&self.device)
    }
}

/// Checks a key `device`.
pub(crate) fn known_device(name: &str) -> Result<(), Problem> {
    Device::by_name(name)
        .map(|_| ())
        .map_err(|e| Problem::new("device", format!("is {name:?}: {e}")))
}

/// Name of the section about the run as a whole.
pub const RUN: &str = "run";

/// What a caller wants otherwise than the recipe.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The run's folder; not set: `out` in the recipe's [run], else runs/NAME.
    pub out: Option<PathBuf>,
    /// What all randomness comes from; not set: `seed` in the recipe's [run].
    pub seed: Option<u64>,
    /// Overrides of the recipe's keys: `pretrain.train.steps=100`.
    pub set: Vec<String>,
    /// Whether stages that were made from another recipe are made again.
    pub force: bool,
    /// The name of what computes; not set: `device` in the recipe's [run].
    pub device: Option<String>,
}

/// A checked recipe.
pub struct Plan {
    /// The recipe as read.
    pub recipe: Recipe,
    /// Its `[run]` with the options applied.
    pub run: RunSection,
    /// The run's folder.
    pub out: PathBuf,
    /// Its stages, in their order.
    pub stages: Vec<&'static StageKind>,
    /// The recipe with every key.
    pub resolved: String,
    /// Whether stages that were made from another recipe are made again.
    pub force: bool,
    /// Which of several processes that share a stage's work this is.
    pub task: Option<Task>,
}

/// Every section's name and keys.
fn sections() -> Vec<(&'static str, KeysOf)> {
    let run: (_, KeysOf) = (RUN, RunSection::keys);
    std::iter::once(run).chain(STAGES.iter().map(|s| (s.name, s.keys))).collect()
}

/// Reads and checks a recipe.
///
/// # Errors
/// Input, at the file and line or the `--set`.
pub fn load(path: &Path, options: &RunOptions) -> Result<Plan> {
    let mut recipe = Recipe::load(path, &options.set)?;
    recipe.check_names(&sections())?;
    let mut run: RunSection = recipe.section(RUN)?;
    if run.name.is_empty() {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        run.name = stem.unwrap_or_else(|| RUN.into());
    }
    run.seed = options.seed.unwrap_or(run.seed);
    if let Some(device) = &options.device {
        run.device.clone_from(device);
        run.device()?;
    }
    let out = options.out.clone().or(run.out).unwrap_or_else(|| Path::new("runs").join(&run.name));
    if let Some(folder) = &run.folder {
        recipe = recipe.start_from(folder);
    }
    // The recipe that the run keeps works from anywhere.
    run.out = Some(absolute(&out));
    run.folder = Some(absolute(recipe.dir()));
    let stages: Vec<&StageKind> = STAGES.iter().filter(|s| recipe.has(s.name)).collect();
    if stages.is_empty() {
        let names: Vec<_> = STAGES.iter().map(|s| format!("[{}]", s.name)).collect();
        return Err(Error::input("the recipe names no stage")
            .at(path.display())
            .hint(format!("give at least one of the sections {}", names.join(", "))));
    }
    let mut values: Vec<(&str, Value)> =
        vec![(RUN, serde_json::to_value(&run).map_err(Error::failed)?)];
    for stage in &stages {
        values.push((stage.name, (stage.resolved)(&recipe)?));
    }
    let resolved = format!("# Every key of {}.\n\n{}", path.display(), Recipe::resolved(&values));
    Ok(Plan { recipe, run, out, stages, resolved, force: options.force, task: None })
}

/// A path that does not depend on the current folder.
pub fn absolute(path: &Path) -> PathBuf {
    // `absolute` refuses the empty path, which means the current folder.
    let full = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(full).unwrap_or_else(|_| path.to_owned())
}
