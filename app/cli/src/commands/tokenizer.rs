//! `athanor tokenizer`: the corpus stage, which makes the tokenizer.

use athanor_lab::stages::STAGES;
use athanor_store::Result;

use crate::{
    context::Context,
    runs::{self, RecipeArgs},
};

/// Train the tokenizer: a part of the corpus stage, which is run
#[derive(clap::Args)]
#[command(after_help = "\
The tokenizer is trained on the cleaned text, so this does the whole corpus stage; the tokenizer is
RUN/corpus/tokenizer. Its keys are the recipe's [corpus.tokenizer].")]
pub struct Args {
    #[command(flatten)]
    recipe: RecipeArgs,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let plan = args.recipe.plan(context)?;
    let folder = plan.out.join("corpus").join("tokenizer");
    context.session.console.say("the tokenizer is made by the corpus stage, on its cleaned text");
    runs::run(context, plan, Some(STAGES.find("corpus")?))?;
    context.session.console.say(&format!("tokenizer: {}", folder.display()));
    Ok(())
}
