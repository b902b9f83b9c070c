//! Stages: what each says of itself, and what follows for all of them: keys, the check of what they work on,
//! the fingerprint, whether the work is done, and its end.

mod folder;
mod inputs;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::Value;

pub use folder::{Fingerprint, StageFolder};
pub use inputs::{Input, Product};

use crate::{Entry, Key, Recipe, Result, Run, Section, figures::Summary, recipe::json};

/// A stage: a section of the recipe, a folder of the run, and the work between.
pub trait Stage: 'static {
    /// Its keys.
    type Section: Section;
    /// Its summary.json.
    type Summary: Summary;
    /// Its command, its section and its folder.
    const NAME: &'static str = Self::Summary::STAGE;
    /// What it does, for help.
    const ABOUT: &'static str;
    /// Whether several processes can share its work ([`Run::task`]).
    const SHARES_WORK: bool = false;

    /// What its result depends on, besides the section and the seed.
    fn inputs(section: &Self::Section) -> Vec<Input>;

    /// Does the work, which is not done yet or was cut off.
    ///
    /// # Errors
    /// Input for what the recipe names, Interrupted after a checkpoint, Failed otherwise.
    fn work(work: &Work<'_, Self::Section>) -> Result<Done<Self::Summary>>;

    /// Fails unless what the stage works on is there, or will be: asked before the first stage of a recipe
    /// begins. `run` is the run's folder.
    ///
    /// # Errors
    /// Input, with the key's place.
    fn check_files(recipe: &Recipe, run: &Path) -> Result<()> {
        let section: Self::Section = recipe.section(Self::NAME)?;
        let inputs = Self::inputs(&section);
        inputs.iter().try_for_each(|input| input.check(Self::NAME, recipe, run))
    }

    /// Does the work unless it is done, and says that it is done.
    ///
    /// # Errors
    /// Those of [`work`](Self::work) and of [`StageFolder::is_done`].
    fn run(run: &Run) -> Result<()> {
        let section: Self::Section = run.recipe.section(Self::NAME)?;
        let mut fingerprint = run.fingerprint(&section).on(run.device.as_deref());
        let mut places = BTreeMap::new();
        for input in Self::inputs(&section) {
            let place = input.locate(Self::NAME, run)?;
            fingerprint = fingerprint.input(input.name(), input.hash(&place)?);
            places.insert(input.name().to_owned(), place);
        }
        let folder = run.stage(Self::NAME);
        if folder.is_done(&fingerprint)? {
            run.console.say(&format!("{}: done already ({})", Self::NAME, folder.dir().display()));
            return Ok(());
        }
        let work = Work { run, section, folder, fingerprint, places };
        let done = Self::work(&work)?;
        work.folder.finish(&work.fingerprint, done.seconds, &done.summary)
    }
}

/// A stage at work.
pub struct Work<'r, S> {
    /// The run.
    pub run: &'r Run,
    /// The stage's section.
    pub section: S,
    /// The stage's folder.
    pub folder: StageFolder,
    /// What decides the result.
    pub fingerprint: Fingerprint,
    places: BTreeMap<String, PathBuf>,
}

impl<S> Work<'_, S> {
    /// Where the input of this name is, if the stage has it.
    pub fn optional(&self, input: &str) -> Option<&Path> {
        self.places.get(input).map(PathBuf::as_path)
    }

    /// Where the input of this name is.
    ///
    /// # Panics
    /// If the stage declared no such input.
    pub fn place(&self, input: &str) -> &Path {
        self.optional(input).unwrap_or_else(|| panic!("{}: no input {input}", self.folder.name()))
    }
}

/// What a stage says at its end.
pub struct Done<S> {
    /// Seconds that the work took, all sessions.
    pub seconds: f64,
    /// What summary.json tells.
    pub summary: S,
}

/// A stage in a registry.
pub struct StageKind {
    /// Its command, its section of the recipe and its folder in a run.
    pub name: &'static str,
    /// What it does, for help.
    pub about: &'static str,
    /// The keys of its section.
    pub keys: fn() -> Vec<Key>,
    /// Its section with every key, checked.
    pub resolved: fn(&Recipe) -> Result<Value>,
    /// Fails unless what it works on is there; the path is the run's folder.
    pub check_files: fn(&Recipe, &Path) -> Result<()>,
    /// Whether several processes can share its work.
    pub shares_work: bool,
    /// Does the work, unless it is done.
    pub run: fn(&Run) -> Result<()>,
}

impl StageKind {
    /// A stage's entry.
    pub const fn of<S: Stage>() -> Self {
        Self {
            name: S::NAME,
            about: S::ABOUT,
            keys: S::Section::keys,
            resolved: |recipe| Ok(json(&recipe.section::<S::Section>(S::NAME)?)),
            check_files: S::check_files,
            shares_work: S::SHARES_WORK,
            run: S::run,
        }
    }
}

impl Entry for StageKind {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }
}
