//! `athanor corpus`, `athanor pretrain` and so on: one stage of a recipe.

use athanor_lab::stages::STAGES;
use athanor_store::{Error, Result, StageKind, Task};

use crate::{
    context::Context,
    runs::{self, RecipeArgs},
};

#[derive(clap::Args)]
#[command(after_help = "\
The stages before it have to be done in the same run folder. A stage that is done is skipped, one
that was cut off goes on from its last checkpoint.")]
pub struct Args {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Do task I of N, from 0 to N-1, of a stage that several processes work on in one run folder:
    /// `corpus`. Any of them may be started again or left out; the others take over
    #[arg(long, value_name = "I/N", value_parser = task)]
    task: Option<Task>,
}

/// `3/16`.
fn task(text: &str) -> std::result::Result<Task, String> {
    let number = |t: &str| t.trim().parse::<usize>().ok();
    let parts = text.split_once('/').and_then(|(i, n)| Some((number(i)?, number(n)?)));
    match parts {
        Some((index, count)) if index < count => Ok(Task { index, count }),
        Some((_, count)) => Err(format!("tasks of {count} are counted from 0")),
        None => Err("expected I/N, such as 0/16".into()),
    }
}

/// The stages that several processes can work on.
fn sharing() -> String {
    let names = STAGES.iter().filter(|s| s.shares_work).map(|s| format!("`{}`", s.name));
    names.collect::<Vec<_>>().join(" and ")
}

pub fn run(context: &Context, stage: &StageKind, args: Args) -> Result<()> {
    let mut plan = args.recipe.plan(context)?;
    if args.task.is_some() && !stage.shares_work {
        return Err(Error::input(format!("{} cannot be split into tasks", stage.name))
            .hint(format!("only {} can: leave --task out", sharing())));
    }
    plan.task = args.task;
    runs::run(context, plan, Some(stage))
}
