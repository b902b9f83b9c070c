//! `athanor inspect`: what a path is.

use std::path::PathBuf;

use athanor_report::inspect::{inspect, inspect_json};
use athanor_store::Result;

use crate::{context::Context, out};

/// Tell what a path is: a model, shards, a checkpoint, a run, a stage, arrays, a GGUF file or a recipe
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  athanor inspect runs/demo
  athanor inspect runs/demo/pretrain/model --json")]
pub struct Args {
    /// A file or folder
    path: PathBuf,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    if context.json { out::json(&inspect_json(&args.path)?) } else { out::print(&inspect(&args.path)?) }
}
