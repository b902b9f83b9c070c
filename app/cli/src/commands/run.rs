//! `athanor run`: all stages of a recipe.

use athanor_store::Result;

use crate::{
    context::Context,
    runs::{self, RecipeArgs},
};

/// Run all the stages that a recipe names; skips what is done, resumes what was cut off
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  athanor run my.toml                          writes runs/my
  athanor run my.toml --out /data/run1 --seed 7
  athanor run my.toml --set pretrain.train.steps=2000 --force

Ctrl-C writes a checkpoint; the same command goes on from there. RUN/report.html is written anew
after each stage, RUN/recipe.toml holds every key.")]
pub struct Args {
    #[command(flatten)]
    recipe: RecipeArgs,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let plan = args.recipe.plan(context)?;
    let report = plan.out.join("report.html");
    runs::run(context, plan, None)?;
    context.session.console.say(&format!("report: {}", report.display()));
    Ok(())
}
