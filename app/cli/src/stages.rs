//! The stages in their order. A new one is one line here; its command, its section of the recipe
//! and its place in a run follow from that.

use std::path::Path;

use athanor_store::{Error, Key, Recipe, Result, Run, nearest, recipe::Shape};
use serde_json::{Map, Value};

/// A stage, as its crate exposes it.
pub struct Stage {
    /// Its command, its section of the recipe and its folder in a run.
    pub name: &'static str,
    /// What it does, for `--help`.
    pub about: &'static str,
    /// The keys of its section.
    pub keys: fn() -> Vec<Key>,
    /// Its section with every key, checked.
    pub resolved: fn(&Recipe) -> Result<Value>,
    /// Fails unless what it works on, besides, is there; the path is the run's folder.
    pub check_files: fn(&Recipe, &Path) -> Result<()>,
    /// Whether several processes can share its work (`--task`).
    pub shares_work: bool,
    /// Does the work, unless it is done.
    pub run: fn(&Run) -> Result<()>,
}

/// All stages.
#[rustfmt::skip]
pub static STAGES: &[Stage] = &[
    Stage { name: athanor_corpus::NAME, about: "Clean, split and tokenise the sources of text", keys: athanor_corpus::keys, resolved: athanor_corpus::resolved, check_files: athanor_corpus::check_files, shares_work: true, run: athanor_corpus::run },
    Stage { name: athanor_pretrain::NAME, about: "Train a language model on the corpus, without labels", keys: athanor_pretrain::keys, resolved: athanor_pretrain::resolved, check_files: athanor_pretrain::check_files, shares_work: false, run: athanor_pretrain::run },
    Stage { name: athanor_finetune::NAME, about: "Teach the model tasks or conversation from examples", keys: athanor_finetune::keys, resolved: athanor_finetune::resolved, check_files: athanor_finetune::check_files, shares_work: false, run: athanor_finetune::run },
    Stage { name: athanor_reward::NAME, about: "Train a reward model on human comparisons and ratings", keys: athanor_reward::keys, resolved: athanor_reward::resolved, check_files: athanor_reward::check_files, shares_work: false, run: athanor_reward::run },
    Stage { name: athanor_reinforce::NAME, about: "Improve the model by reinforcement learning", keys: athanor_reinforce::keys, resolved: athanor_reinforce::resolved, check_files: athanor_reinforce::check_files, shares_work: false, run: athanor_reinforce::run },
];

impl Stage {
    /// Its section as one key, for the annotated recipe.
    pub fn key(&self) -> Key {
        let keys = (self.keys)();
        let default: Map<String, Value> =
            keys.iter().map(|k| (k.name.clone(), k.default.clone())).collect();
        Key::new(self.name, &[self.about], false, Shape::Section(keys), default.into())
    }
}

/// A stage by its name.
///
/// # Errors
/// Input, naming the nearest.
pub fn by_name(name: &str) -> Result<&'static Stage> {
    STAGES.iter().find(|s| s.name == name).ok_or_else(|| {
        let names = STAGES.iter().map(|s| s.name);
        let near = nearest(name, names.clone());
        let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        let list: Vec<_> = names.collect();
        Error::input(format!("no stage `{name}`{near}"))
            .hint(format!("the stages are {}", list.join(", ")))
    })
}
