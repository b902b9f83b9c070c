//! `athanor corpus`, `athanor pretrain` and so on: one stage of a recipe.

use std::path::PathBuf;

use athanor_store::Result;

use crate::{
    context::Context,
    pipeline,
    plan::{self, RunArgs},
    stages::Stage,
};

#[derive(clap::Args)]
#[command(after_help = "\
The stages before it have to be done in the same run folder. A stage that is done is skipped, one
that was cut off goes on from its last checkpoint.")]
pub struct Args {
    /// The recipe (TOML)
    recipe: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

pub fn run(context: &Context, stage: &Stage, args: Args) -> Result<()> {
    pipeline::run(context, plan::load(&args.recipe, &args.run)?, Some(stage))
}
