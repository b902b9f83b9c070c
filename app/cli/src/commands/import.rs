//! `athanor import`: somebody else's model into our form.

use std::path::PathBuf;

use athanor_store::Result;

use crate::{context::Context, convert};

/// Copy a Hugging Face model into a checked folder of ours
#[derive(clap::Args)]
#[command(after_help = "\
The model is loaded, checked (shapes, no NaN or infinite weights, the tokenizer fits), written as
f32 and read back: the copy has to give the same logits. Only Hugging Face folders are read
(config.json, model.safetensors, tokenizer.json); GGUF is not supported yet.

Example:
  athanor import ~/models/gpt2 models/gpt2")]
pub struct Args {
    /// A Hugging Face folder
    source: PathBuf,
    /// The folder to write
    destination: PathBuf,
    /// Replace the destination if it exists
    #[arg(long)]
    force: bool,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    convert::convert(context, &args.source, &args.destination, args.force)
}
