//! `athanor export`: a model for other programs.

use std::path::PathBuf;

use athanor_store::Result;

use crate::{context::Context, convert};

/// Write a model as a Hugging Face folder for other programs
#[derive(clap::Args)]
#[command(after_help = "\
Python's AutoModel.from_pretrained opens the folder. Our own model folders have this form already;
export checks and copies one. GGUF (llama.cpp, Ollama) is not written yet.

Example:
  athanor export runs/demo my-model")]
pub struct Args {
    /// A model folder, a stage's or a run's
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
