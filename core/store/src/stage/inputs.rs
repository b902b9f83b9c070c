//! A stage's inputs: declared once, checked before the first stage of a recipe begins, and hashed into
//! the stage's fingerprint.

use std::path::{Path, PathBuf};

use crate::{Error, Recipe, Result, Run, sha256_file, sha256_folder};

/// A file or folder that a stage's result depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name in the fingerprint.
    name: String,
    /// The key that names it, without the stage: `data.0.dialogue.path`.
    key: String,
    /// The path that the recipe gives.
    path: Option<PathBuf>,
    /// The stage whose result is taken where the recipe gives no path.
    of: Option<(&'static str, Product)>,
}

/// What a stage leaves for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// A model folder, `STAGE/model`.
    Model,
    /// Token shards in the stage's folder; its index.json has the hashes of the others.
    Shards,
}

impl Product {
    /// The file without which it is not there.
    fn mark(self) -> &'static str {
        match self {
            Self::Model => "config.json",
            Self::Shards => "index.json",
        }
    }

    fn folder(self, stage: &Path) -> PathBuf {
        match self {
            Self::Model => stage.join("model"),
            Self::Shards => stage.to_owned(),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Shards => "token shards",
        }
    }
}

impl Input {
    /// A file or folder that the recipe names with `key`; its name in the fingerprint is `name`.
    pub fn file(name: impl Into<String>, key: impl Into<String>, path: &Path) -> Self {
        let path = Some(path.to_owned());
        Self { name: name.into(), key: key.into(), path, of: None }
    }

    /// A model folder: the one that the recipe names with `key`, or the one that the stage `before` of this
    /// run makes.
    pub fn model(key: impl Into<String>, path: Option<&Path>, before: &'static str) -> Self {
        Self::product(key, path, before, Product::Model)
    }

    /// A folder of token shards, likewise.
    pub fn shards(key: impl Into<String>, path: Option<&Path>, before: &'static str) -> Self {
        Self::product(key, path, before, Product::Shards)
    }

    fn product(
        key: impl Into<String>,
        path: Option<&Path>,
        before: &'static str,
        product: Product,
    ) -> Self {
        let (key, path) = (key.into(), path.map(Path::to_owned));
        Self { name: key.clone(), key, path, of: Some((before, product)) }
    }

    /// Its name in the fingerprint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Fails unless it is there, or an earlier stage of the recipe will make it. `run` is the run's folder.
    ///
    /// # Errors
    /// Input, at the key's place.
    pub fn check(&self, stage: &str, recipe: &Recipe, run: &Path) -> Result<()> {
        match (&self.path, self.of) {
            (Some(path), _) => recipe.needs_file(&format!("{stage}.{}", self.key), path),
            (None, Some((before, _))) => recipe.needs_stage(run, stage, before, &self.key),
            (None, None) => Ok(()),
        }
    }

    /// Where it is.
    ///
    /// # Errors
    /// Input, if the stage that makes it has not been run.
    pub(super) fn locate(&self, stage: &str, run: &Run) -> Result<PathBuf> {
        let place = match (&self.path, self.of) {
            (Some(path), _) => run.recipe.resolve(path),
            (None, Some((before, product))) => product.folder(run.stage(before).dir()),
            (None, None) => return Err(Error::failed("an input without a place")),
        };
        let Some((before, product)) = self.of else { return Ok(place) };
        if place.join(product.mark()).exists() {
            return Ok(place);
        }
        let (what, mark, key) = (product.what(), product.mark(), &self.key);
        Err(Error::input(format_args!("no {what} here ({mark} is missing)"))
            .at(place.display())
            .hint(format_args!(
                "run `athanor {before}` first, or name a folder of {what} with {stage}.{key}"
            )))
    }

    /// Its SHA-256, for the stage's fingerprint.
    ///
    /// # Errors
    /// Input, if it is not there; those of [`Error::io`].
    pub fn sha256(&self, stage: &str, run: &Run) -> Result<String> {
        self.hash(&self.locate(stage, run)?)
    }

    pub(super) fn hash(&self, place: &Path) -> Result<String> {
        match self.of {
            Some((_, Product::Shards)) => sha256_file(&place.join(Product::Shards.mark())),
            _ if place.is_dir() => sha256_folder(place),
            _ => sha256_file(place),
        }
    }
}
