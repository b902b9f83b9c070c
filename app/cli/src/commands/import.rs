//! `athanor import`: a model of another program into our form.

use std::path::PathBuf;

use athanor_store::Result;

use crate::{context::Context, convert, gguf};

/// Copy a Hugging Face model or a GGUF file into a checked folder of ours
#[derive(clap::Args)]
#[command(after_help = "\
The model is loaded, checked (shapes, no NaN or infinite weights, the tokenizer fits), written as
f32 and read back: the copy has to give the same logits. Read are Hugging Face folders (config.json,
model.safetensors, tokenizer.json) and GGUF files of llama, qwen2, qwen3, gemma3 and gpt2 in F32, F16,
BF16, Q8_0, Q4_0, Q5_0, Q4_K, Q5_K and Q6_K, which are dequantised.

Examples:
  athanor import ~/models/gpt2 models/gpt2
  athanor import gemma-3-270m-q4_k_m.gguf --output models/gemma")]
pub struct Args {
    /// A Hugging Face folder or a .gguf file
    source: PathBuf,
    /// The folder to write
    #[arg(required_unless_present = "output", conflicts_with = "output")]
    destination: Option<PathBuf>,
    /// The folder to write, named
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Replace the destination if it exists
    #[arg(long)]
    force: bool,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let destination = args.destination.or(args.output).unwrap_or_default();
    if gguf::is_gguf(&args.source) {
        return gguf::import(context, &args.source, &destination, args.force);
    }
    convert::convert(context, &args.source, &destination, args.force)
}
