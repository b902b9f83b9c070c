//! `athanor demo`: all stages on the data that the binary carries.

use std::path::{Path, PathBuf};

use athanor_lab::plan::{self, RunOptions};
use athanor_store::{Error, Result, sha256_bytes, sha256_file, write_atomic};

use crate::{context::Context, model_path, out, runs};

/// The recipe. In the repository its data are in ../data, in a run folder in data.
const RECIPE: &str = include_str!("../../../../recipes/demo.toml");

macro_rules! data {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../../data/", $name)))),+]
    };
}

/// What the recipe reads.
pub const DATA: &[(&str, &[u8])] =
    data!["human_ratings.jsonl.gz", "brown.jsonl.gz", "books.jsonl.gz", "zh.jsonl.gz"];

/// `--short`: the same path through all stages with a tiny model and few steps, for tests.
const SHORT: &[&str] = &[
    "corpus.tokenizer.vocab_size=1024",
    "corpus.sources.1.max_bytes=300000",
    "corpus.sources.2.max_bytes=100000",
    "pretrain.model.hidden_size=64",
    "pretrain.model.layers=2",
    "pretrain.model.heads=2",
    "pretrain.train.steps=30",
    "pretrain.train.schedule.warmup_steps=5",
    "pretrain.train.evaluate.every=15",
    "pretrain.train.evaluate.items=20",
    "finetune.train.steps=20",
    "finetune.train.schedule.warmup_steps=2",
    "finetune.train.evaluate.every=10",
    "finetune.train.evaluate.items=20",
    "reward.train.steps=10",
    "reward.train.schedule.warmup_steps=2",
    "reward.train.evaluate.every=5",
    "reward.train.evaluate.items=20",
    "reward.heldout_pairs=200",
    "reinforce.train.steps=3",
    "reinforce.train.schedule.warmup_steps=1",
    "reinforce.train.evaluate.every=3",
    "reinforce.train.evaluate.sample_every=3",
    "reinforce.answers=16",
    "reinforce.max_new_tokens=16",
    "reinforce.train.evaluate.items=16",
];

/// Run all stages on the data that the binary carries, then say how to chat with the result
#[derive(clap::Args)]
#[command(after_help = "\
Nothing is downloaded: the binary carries the data and the recipe and writes both into the run
folder. Interrupted, the same command goes on from the last checkpoint.

Examples:
  athanor demo
  athanor demo --out /tmp/demo --set pretrain.train.steps=200
  athanor demo --short                         a few steps of everything, for a test")]
pub struct Args {
    /// The run's folder
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    out: PathBuf,
    /// What all randomness comes from [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Overrides a key of the recipe (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Only a few steps of each stage
    #[arg(long)]
    short: bool,
    /// Redo stages that were made from another recipe
    #[arg(long)]
    force: bool,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let recipe = write(&args.out)?;
    let short = if args.short { SHORT } else { &[] };
    let set = short.iter().map(|s| (*s).to_owned()).chain(args.set).collect();
    let (out, device) = (Some(args.out.clone()), context.device_name());
    let run = RunOptions { out, seed: args.seed, set, force: args.force, device };
    let plan = plan::load(&recipe, &run)?;
    runs::run(context, plan, None)?;
    let say = |line: &str| context.session.console.say(line);
    say(&format!("report: {}", args.out.join("report.html").display()));
    if let Some(model) = model_path::writer_of(&args.out) {
        let verb = if athanor_serving::has_template(&model) { "chat" } else { "generate" };
        let more = if verb == "chat" { "" } else { " --prompt 'The '" };
        say(&format!("next: athanor {verb} {}{more}", model.display()));
    }
    if context.json {
        out::json(&serde_json::json!({
            "event": "result", "run": args.out, "report": args.out.join("report.html"),
            "model": model_path::writer_of(&args.out),
        }))?;
    }
    Ok(())
}

/// Writes data and recipe into the run folder where they are not there already; the recipe's path.
fn write(run: &Path) -> Result<PathBuf> {
    let folder = run.join("data");
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
    for (name, bytes) in DATA {
        let path = folder.join(name);
        if !path.is_file() || sha256_file(&path)? != sha256_bytes(bytes) {
            write_atomic(&path, bytes)?;
        }
    }
    let recipe = run.join("demo.toml");
    let here = serde_json::json!(plan::absolute(run)).to_string();
    let text = RECIPE
        .replace("../data/", "data/")
        .replacen("name = \"demo\"", &format!("name = \"demo\"\nout = {here}"), 1);
    write_atomic(&recipe, text.as_bytes())?;
    Ok(recipe)
}
