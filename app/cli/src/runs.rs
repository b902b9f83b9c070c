//! Commands that run a recipe: their options, and a run that Ctrl-C stops in order.

use std::path::PathBuf;

use athanor_lab::{
    comparison::{self, Comparison},
    pipeline,
    plan::{self, Plan, RunOptions},
};
use athanor_store::{Result, StageKind};
use serde_json::Value;

use crate::{context::Context, signals};

/// A recipe, and what is wanted otherwise than it says.
#[derive(Clone, Debug, clap::Args)]
pub struct RecipeArgs {
    /// The recipe (TOML)
    recipe: PathBuf,
    /// The run's folder [default: `out` in the recipe's [run], else runs/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What all randomness comes from [default: `seed` in the recipe's [run]]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Overrides a key of the recipe, as in --set pretrain.train.steps=100 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Redo stages that were made from another recipe
    #[arg(long)]
    force: bool,
}

impl RecipeArgs {
    /// Reads and checks the recipe.
    ///
    /// # Errors
    /// Those of [`plan::load`].
    pub fn plan(self, context: &Context) -> Result<Plan> {
        let Self { recipe, out, seed, set, force } = self;
        let device = context.device_name();
        plan::load(&recipe, &RunOptions { out, seed, set, force, device })
    }
}

/// [`pipeline::run`]; the first Ctrl-C stops it in order.
///
/// # Errors
/// Those of [`pipeline::run`].
pub fn run(context: &Context, plan: Plan, only: Option<&StageKind>) -> Result<()> {
    let _working = signals::working();
    pipeline::run(&context.session, plan, only)
}

/// [`comparison::run`]; the first Ctrl-C stops it in order.
///
/// # Errors
/// Those of [`comparison::run`].
pub fn compare(context: &Context, comparison: &Comparison, force: bool) -> Result<Value> {
    let _working = signals::working();
    comparison::run(&context.session, comparison, force)
}
