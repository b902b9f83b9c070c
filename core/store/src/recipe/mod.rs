//! Recipes: one TOML file, a section for each stage; every key has a default, a doc line and a check.
//!
//! ```
//! use athanor_store::{Check, Problem, Recipe, section};
//!
//! section! {
//!     /// How the model is trained.
//!     pub struct Train {
//!         /// Optimiser steps.
//!         steps: u64 = 1000,
//!         /// Peak learning rate.
//!         learning_rate: f64 = 3e-4,
//!         /// Seconds between checkpoints.
//!         #[watch]
//!         checkpoint_seconds: u64 = 60,
//!     }
//! }
//! impl Check for Train {
//!     fn check(&self) -> Result<(), Problem> {
//!         Problem::unless(self.learning_rate > 0.0, "learning_rate", "must be positive")
//!     }
//! }
//!
//! let recipe = Recipe::parse("demo.toml", "[train]\nlern_rate = 0.1\n", &[]).unwrap();
//! let error = recipe.section::<Train>("train").unwrap_err().to_string();
//! assert!(error.starts_with(
//!     "demo.toml:2: unknown key `lern_rate` in [train]; did you mean `learning_rate`?"
//! ));
//! ```

mod key;
mod problem;
mod section;
mod text;
mod tree;
mod value;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub use key::{Key, Shape};
pub use problem::Problem;
pub use section::{Check, Section, fingerprint_value, section_key};
pub(crate) use section::{complete_fingerprint, entries as table_of, unknown as unknown_key};
pub use text::{describe, to_toml};
pub use tree::Node;
pub use value::KeyType;

#[doc(hidden)]
pub use section::{from_map, read_unchecked};
#[doc(hidden)]
pub use serde_json::{Map, Result as JsonResult};

use crate::{Error, Result, read_text};
use tree::Item;

/// For the macro.
#[doc(hidden)]
pub type JsonMap = Map<String, Value>;

/// [`Section::keys`] of some section.
pub type KeysOf = fn() -> Vec<Key>;

/// A recipe as it was read, with `--set` applied: which keys it gives, and where.
#[derive(Clone, Debug)]
pub struct Recipe {
    name: String,
    dir: PathBuf,
    root: Node,
}

impl Recipe {
    /// Reads a recipe file; `sets` are the `a.b.c=value` of `--set`, applied in their order.
    ///
    /// # Errors
    /// Those of [`read_text`] and [`parse`](Self::parse).
    pub fn load(path: &Path, sets: &[String]) -> Result<Self> {
        if !path.exists() {
            return Err(Error::input("there is no such recipe")
                .at(path.display())
                .hint("check the path; `athanor recipe > my.toml` writes one with every key"));
        }
        let text = read_text(path)?;
        let mut recipe = Self::parse(&path.display().to_string(), &text, sets)?;
        if let Some(dir) = path.parent() {
            recipe.dir = dir.to_owned();
        }
        Ok(recipe)
    }

    /// Reads a recipe from text; `name` is how errors call it. Its folder is the current one.
    ///
    /// # Errors
    /// An input error at `NAME:LINE` for text that is not TOML, one at `--set …` for an override
    /// that has no `=` or goes through a key that holds no table.
    pub fn parse(name: &str, text: &str, sets: &[String]) -> Result<Self> {
        let mut root = tree::parse(name, text)?;
        for set in sets {
            tree::set(&mut root, set)?;
        }
        Ok(Self { name: name.to_owned(), dir: PathBuf::new(), root })
    }

    /// How errors call it: the path it was loaded from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder that relative paths in the recipe start from; empty for the current one.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The same recipe with relative paths that start from `folder`, itself from [`dir`](Self::dir).
    #[must_use]
    pub fn start_from(mut self, folder: &Path) -> Self {
        self.dir = self.dir.join(folder);
        self
    }

    /// A path of the recipe as the program may open it: relative ones start from [`dir`](Self::dir),
    /// an address (`hf://…`) stays as it is.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        match scheme(path) {
            Some(_) => path.to_path_buf(),
            None => self.dir.join(path),
        }
    }

    /// Fails unless the file or folder that a key names is there: found out before hours of work on
    /// the stages before, not after. `key` is the whole name, `corpus.sources.0.path`.
    ///
    /// # Errors
    /// An input error at the key's place.
    pub fn needs_file(&self, key: &str, path: &Path) -> Result<()> {
        let file = self.resolve(path);
        if file.exists() {
            return Ok(());
        }
        let (section, key) = key.split_once('.').unwrap_or((key, ""));
        let what = format!("there is no file or folder {}", file.display());
        let problem = Problem::new(key, what);
        let place = self.find(section).map_or(self.name.as_str(), |node| problem.place(node));
        // `absolute` refuses the empty path, which means the current folder.
        let dir = std::path::absolute(self.dir.join(".")).unwrap_or_else(|_| self.dir.clone());
        Err(Error::input(problem.in_section(section)).at(place).hint(format_args!(
            "check the path; relative ones start from the recipe's folder, {}",
            dir.display()
        )))
    }

    /// Fails unless the stage `before`, whose result `of` works on, is in the recipe or has left its
    /// result in the run's folder. `key` is the one that could name another.
    ///
    /// # Errors
    /// An input error.
    pub fn needs_stage(&self, run: &Path, of: &str, before: &str, key: &str) -> Result<()> {
        let there = ["model/config.json", "index.json"];
        if self.has(before) || there.iter().any(|f| run.join(before).join(f).exists()) {
            return Ok(());
        }
        Err(Error::input(format_args!(
            "[{of}] works on the result of [{before}], which the recipe does not have"
        ))
        .at(&self.name)
        .hint(format_args!("add [{before}], or name a folder with {of}.{key}")))
    }

    /// Whether the recipe has this section (`"pretrain"`, or nested: `"pretrain.train"`) or key.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A section with the recipe's keys over its defaults, checked; all defaults if the recipe does
    /// not have it. Nested: `"pretrain.train"`.
    ///
    /// # Errors
    /// Input errors at `FILE:LINE` or `--set …`: an unknown key with the nearest known one, a value
    /// of the wrong type, a failed [`Check`].
    pub fn section<S: Section>(&self, name: &str) -> Result<S> {
        match self.find(name) {
            Some(node) => section::read(node, name, S::default()),
            None => {
                let default = S::default();
                default.check_all().map_err(|p| Error::input(p.in_section(name)).at(&self.name))?;
                Ok(default)
            }
        }
    }

    /// Refuses unknown sections and keys, also in sections that this run does not use.
    /// [`section`](Self::section) checks values.
    ///
    /// # Errors
    /// Input errors at `FILE:LINE` or `--set …` that name the nearest known section or key.
    pub fn check_names(&self, sections: &[(&str, KeysOf)]) -> Result<()> {
        let names: Vec<&str> = sections.iter().map(|(name, _)| *name).collect();
        let Item::Table(entries) = &self.root.item else { return Ok(()) };
        for (name, node) in entries {
            let Some((_, keys)) = sections.iter().find(|(known, _)| known == name) else {
                let quoted = if matches!(node.item, Item::Table(_)) {
                    format!("unknown section [{name}]")
                } else {
                    format!("unknown key `{name}` outside of any section")
                };
                let near = nearest(name, names.iter().copied());
                let near = near.map_or(String::new(), |n| format!("; did you mean [{n}]?"));
                let list: Vec<_> = names.iter().map(|n| format!("[{n}]")).collect();
                return Err(Error::input(format_args!("{quoted}{near}"))
                    .at(&node.place)
                    .hint(format_args!("the sections are {}", list.join(", "))));
            };
            section::check_keys(node, name, &keys())?;
        }
        Ok(())
    }

    /// The resolved recipe as TOML, every key written out: what `RUN/recipe.toml` holds. Give each
    /// section's name and its value (`serde_json::to_value(&section)`), in the order wanted.
    pub fn resolved(sections: &[(&str, Value)]) -> String {
        let mut out = String::new();
        for (name, value) in sections {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&to_toml(name, value));
        }
        out
    }

    fn find(&self, name: &str) -> Option<&Node> {
        name.split('.').try_fold(&self.root, |node, part| node.get(part))
    }
}

/// The candidate that looks most like `name`, if one looks like it at all: for "did you mean".
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |c: &str| {
        let (a, b) = (name.to_lowercase(), c.to_lowercase());
        let edits = strsim::normalized_damerau_levenshtein(&a, &b);
        // Jaro-Winkler sees through a common beginning with a different end (`lr` and `lrate`).
        if edits >= 0.6 { 1.0 + edits } else { strsim::jaro_winkler(&a, &b) }
    };
    candidates
        .into_iter()
        .map(|c| (alike(c), c))
        .filter(|(score, _)| *score >= 0.88)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

/// A default as JSON, for the macro.
#[doc(hidden)]
pub fn json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// What stands before `://` in an address; none for a path.
pub fn scheme(path: &Path) -> Option<&str> {
    let (scheme, _) = path.to_str()?.split_once("://")?;
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(known))
        .then_some(scheme)
}
