//! `athanor eval`: how good a model is.

use std::path::PathBuf;

use athanor_report::table::{Align, Table};
use athanor_store::Result;
use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    model_path::{self, Want},
    out,
    tasks::{self, Subject, TASKS},
};

/// Measure a model on data
#[derive(clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// A model folder, a stage's or a run's
    model: PathBuf,
    /// What is measured
    #[arg(long, value_name = "NAME")]
    task: String,
    /// JSON lines (plain or gzip), or a text file, which is one document (repeatable)
    #[arg(long, value_name = "FILE", required = true)]
    data: Vec<PathBuf>,
    /// The field of a JSON line that holds the text
    #[arg(long, value_name = "FIELD", default_value = "text")]
    text: String,
    /// Documents at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    /// Tokens that the model sees at once; 0: its context, but at most 2048
    #[arg(long, value_name = "N", default_value_t = 0)]
    window: usize,
    /// Tokens by which the window moves on in a longer document; 0: half of the window
    #[arg(long, value_name = "N", default_value_t = 0)]
    stride: usize,
}

fn after_help() -> String {
    let width = TASKS.iter().map(|t| t.name.len()).max().unwrap_or(0);
    let tasks: String =
        TASKS.iter().map(|t| format!("  {:width$}  {}\n", t.name, t.about)).collect();
    format!(
        "Tasks:\n{tasks}\nExamples:\n  athanor eval runs/demo --task bits-per-byte --data \
         held-out.jsonl.gz\n  athanor eval models/gpt2 --task perplexity --data book.txt --json"
    )
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let task = tasks::by_name(&args.task)?;
    context.set_threads(0);
    let model = model_path::resolve(context, &args.model, Want::Writer)?;
    let figures = (task.run)(
        context,
        &Subject {
            model: &model,
            data: &args.data,
            field: &args.text,
            limit: args.limit,
            window: args.window,
            stride: args.stride,
        },
    )?;
    if context.json {
        let values: Map<String, Value> = figures
            .iter()
            .map(|f| {
                let value = if f.count { json!(f.value as u64) } else { json!(f.value) };
                (f.name.to_owned(), value)
            })
            .collect();
        return out::json(&json!({
            "event": "result", "task": task.name, "model": model, "data": args.data,
            "figures": values,
        }));
    }
    let mut table = Table::new(&[(task.name, Align::Left), ("", Align::Right)]);
    for f in &figures {
        let value = if f.count { format!("{:.0}", f.value) } else { format!("{:.4}", f.value) };
        table.row([f.name.replace('_', " "), value]);
    }
    out::print(&table.to_string())
}
