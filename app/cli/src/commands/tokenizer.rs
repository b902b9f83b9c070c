//! `athanor tokenizer`: the corpus stage, which makes the tokenizer.

use std::path::PathBuf;

use athanor_store::Result;

use crate::{
    context::Context,
    pipeline,
    plan::{self, RunArgs},
    stages::STAGES,
};

/// Train the tokenizer: a part of the corpus stage, which is run
#[derive(clap::Args)]
#[command(after_help = "\
The tokenizer is trained on the cleaned text, so this does the whole corpus stage; the tokenizer is
RUN/corpus/tokenizer. Its keys are the recipe's [corpus.tokenizer].")]
pub struct Args {
    /// The recipe (TOML)
    recipe: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let plan = plan::load(&args.recipe, &args.run)?;
    let folder = plan.out.join("corpus").join("tokenizer");
    context.console.say("the tokenizer is made by the corpus stage, on its cleaned text");
    pipeline::run(context, plan, Some(STAGES.find("corpus")?))?;
    context.console.say(&format!("tokenizer: {}", folder.display()));
    Ok(())
}
