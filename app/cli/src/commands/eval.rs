//! `athanor eval`: how good a model is.

use std::path::PathBuf;

use athanor_data::{LabelledSection, formats::FORMATS};
use athanor_finetune::{self as finetune, TaskKind};
use athanor_lab::{
    documents::Documents,
    tasks::{Subject, TASKS, Task, labelled},
};
use athanor_report::table::{Align, Table};
use athanor_store::{Choice, Error, Result, Section, nearest};
use athanor_text::Tokenizer;
use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    model_path::{self, Want},
    out, signals,
    writer::{Weights, WeightsArgs},
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
    /// JSON lines (plain or gzip), or a text file, which is one document; labelled examples also in the
    /// other forms of --format (repeatable)
    #[arg(long, value_name = "FILE", required = true)]
    data: Vec<PathBuf>,
    /// The field that holds the text; of labelled examples also a template, as in '{{ title }} {{ body }}'
    #[arg(long, value_name = "FIELD", default_value = "text")]
    text: String,
    /// Documents or examples at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    /// Tokens that the model sees at once; 0: its context, but at most 2048
    #[arg(long, value_name = "N", default_value_t = 0)]
    window: usize,
    /// Tokens by which the window moves on in a longer document; 0: half of the window
    #[arg(long, value_name = "N", default_value_t = 0)]
    stride: usize,
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    labelled: Labelled,
}

/// Where labelled examples have what
#[derive(clap::Args)]
#[command(next_help_heading = "Labelled examples")]
struct Labelled {
    #[arg(long, value_name = "NAME", help = format_help())]
    format: Option<String>,
    /// The field, or template, of a pair's second text
    #[arg(long, value_name = "FIELD", default_value = "", hide_default_value = true)]
    pair: String,
    /// The field, or template, of the label
    #[arg(long, value_name = "FIELD", default_value = "label")]
    label: String,
    /// Expression that gives the list of a sentence's words
    #[arg(long, value_name = "FIELD", default_value = "words")]
    words: String,
    /// Expression that gives the list of the words' labels
    #[arg(long, value_name = "FIELD", default_value = "labels")]
    labels: String,
    /// Names of the columns, where the file does not name them, as in word,pos,chunk,label
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// Expression over the fields: examples for which it is false are left out
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    only: String,
    /// A key of the task's own, as in --set choices=endings (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

fn format_help() -> String {
    format!("The form of the data, by the file's name if not given: {}", FORMATS.help())
}

fn after_help() -> String {
    let tasks = TASKS.lines() + &finetune::TASKS.lines();
    format!(
        "Tasks:\n{tasks}\nExamples:\n  athanor eval runs/demo --task bits-per-byte --data \
         held-out.jsonl.gz\n  athanor eval models/gpt2 --task perplexity --data book.txt --json\n  athanor eval runs/classify \
         --task classification --data dev.tsv --text sentence --label label\n  athanor eval runs/ner --task \
         token_classification --data test.conll"
    )
}

/// The task that a name means.
enum Wanted {
    Writing(&'static Task),
    Labelled(&'static TaskKind),
}

/// A task by its name; tasks of fine-tuning are also known with hyphens.
fn task(name: &str) -> Result<Wanted> {
    let labelled = |name: &str| {
        finetune::TASKS.iter().find(|t| t.name == name && !t.conversations).map(Wanted::Labelled)
    };
    let writing = || TASKS.iter().find(|t| t.name == name).map(Wanted::Writing);
    writing().or_else(|| labelled(&name.replace('-', "_"))).ok_or_else(|| {
        let names = TASKS.names().chain(finetune::TASKS.names());
        let near = nearest(name, names.clone());
        let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        let list: Vec<_> = names.collect();
        Error::input(format!("no task `{name}`{near}"))
            .hint(format!("the tasks are {}", list.join(", ")))
    })
}

fn section(args: &Args) -> Result<LabelledSection> {
    let own = &args.labelled;
    let section = LabelledSection {
        path: args.data[0].clone(),
        format: own.format.as_deref().map(Choice::from),
        columns: own.columns.clone(),
        only: own.only.clone(),
        text: args.text.clone(),
        pair: own.pair.clone(),
        label: own.label.clone(),
        words: own.words.clone(),
        labels: own.labels.clone(),
        limit: args.limit,
        ..LabelledSection::default()
    };
    section.check_all().map_err(|p| p.of_option())?;
    Ok(section)
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let task = task(&args.task)?;
    context.set_threads();
    let (name, model, figures) = match task {
        Wanted::Writing(task) => {
            let folder = model_path::resolve(context, &args.model, Want::Writer)?;
            let tokenizer = Tokenizer::load(&folder)?;
            let documents = Documents::open(&args.data, &args.text)?.named("--text");
            let subject = Subject {
                folder: &folder,
                model: &args.weights.load(context, &folder)?,
                tokenizer: &tokenizer,
                documents,
                limit: args.limit,
                window: args.window,
                stride: args.stride,
            };
            let _working = signals::working();
            let figures = (task.run)(&context.session, subject)?;
            (task.name, folder, figures)
        }
        Wanted::Labelled(task) => {
            if args.weights.weights != Weights::F32 {
                let known = TASKS.names().collect::<Vec<_>>().join(" and ");
                return Err(Error::input(format!("--weights int8 with the task `{}`", task.name))
                    .hint(format!("int8 weights are for models that write, with {known}")));
            }
            let model = model_path::resolve(context, &args.model, Want::Any)?;
            let source = section(&args)?;
            let sets = &args.labelled.set;
            let _working = signals::working();
            let from = (model.as_path(), context.device());
            let figures = labelled::run(&context.session, task, from, &args.data, source, sets)?;
            (task.name, model, figures)
        }
    };
    if context.json {
        let values: Map<String, Value> = figures
            .iter()
            .map(|f| {
                let value = if f.count { json!(f.value as u64) } else { json!(f.value) };
                (f.name.to_owned(), value)
            })
            .collect();
        return out::json(&json!({
            "event": "result", "task": name, "model": model, "data": args.data,
            "figures": values,
        }));
    }
    let mut table = Table::new(&[(name, Align::Left), ("", Align::Right)]);
    for f in &figures {
        let value = if f.count { format!("{:.0}", f.value) } else { format!("{:.4}", f.value) };
        table.row([f.name.replace('_', " "), value]);
    }
    out::print(&table.to_string())
}
