//! `athanor export`: a model for other programs.

use std::path::PathBuf;

use athanor_store::{Error, Result};

use crate::{context::Context, convert, gguf};

/// Write a model for other programs: a Hugging Face folder, or GGUF for llama.cpp and Ollama
#[derive(clap::Args)]
#[command(after_help = "\
Python's AutoModel.from_pretrained opens the folder. Our own model folders have this form already;
export checks and copies one. A destination that ends in .gguf becomes a GGUF file, matrices in the
type that --type names; what llama.cpp would compute otherwise is refused.

Examples:
  athanor export runs/demo my-model
  athanor export runs/demo --output my-model.gguf --type q8_0")]
pub struct Args {
    /// A model folder, a stage's or a run's
    source: PathBuf,
    /// The folder or .gguf file to write
    #[arg(required_unless_present = "output", conflicts_with = "output")]
    destination: Option<PathBuf>,
    /// The folder or .gguf file to write, named
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Element type of a GGUF file's matrices: f32, f16, bf16 or q8_0 [default: f16]
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Replace the destination if it exists
    #[arg(long)]
    force: bool,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let destination = args.destination.or(args.output).unwrap_or_default();
    if gguf::is_gguf(&destination) {
        let kind = args.kind.as_deref().unwrap_or("f16");
        return gguf::export(context, &args.source, &destination, kind, args.force);
    }
    if args.kind.is_some() {
        return Err(Error::input("--type is for GGUF files")
            .hint("end the destination in .gguf; a folder is always f32"));
    }
    convert::convert(context, &args.source, &destination, args.force)
}
