//! `athanor report`: writes a run's report anew.

use std::path::PathBuf;

use athanor_store::Result;
use serde_json::json;

use crate::{context::Context, out};

/// Write a run's report.html anew
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  athanor report runs/demo")]
pub struct Args {
    /// The run's folder
    run: PathBuf,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let path = athanor_report::write_report(&args.run)?;
    if context.json {
        out::json(&json!({ "report": path }))
    } else {
        out::line(&path.display().to_string())
    }
}
