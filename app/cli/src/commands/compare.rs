//! `athanor compare`: models that were pretrained in different ways, on the same tasks and texts.

use std::path::PathBuf;

use athanor_lab::comparison::{self, rows};
use athanor_report::table::{Align, Table};
use athanor_store::Result;

use crate::{context::Context, out, runs};

/// Pretrain models in different ways, with several seeds, and measure each on the same tasks and texts: a table
#[derive(clap::Args)]
#[command(after_help = "\
The recipe has a section [comparison] that names recipes: of models to pretrain, and of tasks to
fine-tune them on. Each is a run of its own in the comparison's folder; what is done is skipped,
what was cut off goes on. Models can also be measured in bits per byte of texts
([[comparison.texts]]), and timed until they are as good as one of them (comparison.reach). The
folder gets comparison.json, comparison.md and report.html.

Examples:
  athanor compare recipes/comparison.toml
  athanor compare recipes/comparison.toml --set comparison.seeds=[1]")]
pub struct Args {
    /// The recipe (TOML) with the section [comparison]
    recipe: PathBuf,
    /// The comparison's folder [default: `out` in the recipe, else runs/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overrides a key of the recipe, as in --set comparison.seeds=[1,2] (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Redo what was made from another recipe
    #[arg(long)]
    force: bool,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let mut comparison = comparison::load(&args.recipe, &args.set, args.out.as_deref())?;
    if let Some(device) = context.device_name() {
        comparison.section.device = Some(device);
    }
    let all = runs::compare(context, &comparison, args.force)?;
    if context.json {
        return out::json(&all);
    }
    let mut rows = rows(&all).into_iter();
    let heading = rows.next().unwrap_or_default();
    let align = |i| if i == 0 { Align::Left } else { Align::Right };
    let columns: Vec<(&str, Align)> =
        heading.iter().enumerate().map(|(i, name)| (name.as_str(), align(i))).collect();
    let mut table = Table::new(&columns);
    for row in rows {
        table.row(row);
    }
    out::print(&table.to_string())?;
    context.session.console.say(&format!("report: {}", comparison.out.join("report.html").display()));
    Ok(())
}
