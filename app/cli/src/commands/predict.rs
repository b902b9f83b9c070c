//! `athanor predict`: what a fine-tuned model says of texts, pairs, words or whatever its task asks for.

use std::{
    io::{BufRead, IsTerminal},
    path::{Path, PathBuf},
};

use athanor_data::{LabelledSection, Record, records};
use athanor_finetune::{Fields, Predictor, Shown};
use athanor_lab::documents::is_text;
use athanor_report::table::{Align, Table};
use athanor_store::{Error, Result, Section};
use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    model_path::{self, Want},
    out, signals,
};

/// Records that go through the model together.
const BATCH: usize = 256;

/// Labels, entities, numbers or answers of a fine-tuned model for texts
#[derive(clap::Args)]
#[command(
    visible_alias = "classify",
    after_help = "\
The model's task decides what is said: a label with its probability, a label for each word (words are
separated by spaces), a number, the likeliest choice. Without --text and --data each line of standard
input is a text. Where there are several texts each has a line: label, probability and text between tabs; or
word/label between spaces; or number and text. --json gives one object a text.

Examples:
  athanor predict runs/classify --text 'a warm, funny and moving film.'
  athanor predict models/nli --text 'A man sleeps.' --pair 'A man is awake.' --json
  athanor predict runs/tag --text 'The cat sat on the mat .'
  athanor predict runs/classify --data reviews.jsonl.gz --json > labels.jsonl"
)]
pub struct Args {
    /// A fine-tuned model's folder, a stage's or a run's
    model: PathBuf,
    /// A text (repeatable)
    #[arg(long, short)]
    text: Vec<String>,
    /// The second text, where the model reads pairs; with one --text
    #[arg(long, requires = "text")]
    pair: Option<String>,
    /// JSON lines (plain or gzip), or a text file, of which each line is a text (repeatable)
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// The field of a JSON line, or a template over its fields, that gives the text
    #[arg(long, value_name = "FIELD", default_value = "text")]
    field: String,
    /// The same for a pair's second text
    #[arg(long, value_name = "FIELD", default_value = "", hide_default_value = true)]
    pair_field: String,
    /// A key of the task's own, as in --set choices=endings (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Labels that are shown of a single text, the likeliest first; 0: all
    #[arg(long, short = 'k', value_name = "K", default_value_t = 5)]
    top_k: usize,
}

type Records = Box<dyn Iterator<Item = Result<Record>>>;

pub fn run(context: &Context, args: Args) -> Result<()> {
    context.set_threads();
    if args.pair.is_some() && (args.text.len() != 1 || !args.data.is_empty()) {
        return Err(Error::input("--pair goes with one --text")
            .hint("many pairs: --data FILE with --pair-field"));
    }
    let folder = model_path::resolve(context, &args.model, Want::Any)?;
    let predictor = Predictor::open(&folder, context.device())?;
    if args.pair.is_some() && !predictor.task().uses.contains(&"data.examples.pair") {
        let task = predictor.task().name;
        return Err(Error::input(format!("this model's task, {task}, takes no pair"))
            .at(folder.display()));
    }
    let mut source = LabelledSection { text: args.field.clone(), ..LabelledSection::default() };
    source.pair = args.pair_field.clone();
    if args.pair.is_some() {
        source.pair = "pair".into();
    }
    source.path = PathBuf::from("-");
    source.check_all().map_err(|p| p.of_option())?;
    let fields = Fields::new(predictor.task(), source, &args.set)?;
    let _working = signals::working();
    let field = args.field.clone();
    let given: Vec<Record> =
        args.text.iter().map(|text| record(&field, text, args.pair.as_deref())).collect();
    let data = args.data.iter().map(|path| file(path, &field)).collect::<Result<Vec<_>>>()?;
    let mut records: Records =
        Box::new(given.into_iter().map(Ok).chain(data.into_iter().flatten()));
    let (first, second) = (records.next().transpose()?, records.next().transpose()?);
    let single = first.is_some() && second.is_none();
    if first.is_none() && !args.data.is_empty() {
        return Err(Error::input("the data hold no text"));
    }
    if first.is_none() {
        if std::io::stdin().is_terminal() {
            return Err(Error::input("there is no text")
                .hint("give --text or --data, or write texts to standard input"));
        }
        records = Box::new(stdin(field.clone()));
    }
    let mut records = first.into_iter().chain(second).map(Ok).chain(records).peekable();
    while records.peek().is_some() {
        if context.session.interrupt.is_set() {
            return Err(Error::interrupted("stopped while predicting"));
        }
        let batch: Vec<Record> = records.by_ref().take(BATCH).collect::<Result<_>>()?;
        let said = predictor.predict(&fields, &batch).map_err(|e| {
            e.hint("--field FIELD names the text's field, or is a template over the fields")
        })?;
        for (record, shown) in batch.iter().zip(said) {
            show(context, record, &field, shown, single, args.top_k)?;
        }
    }
    Ok(())
}

/// A text, or a pair, as a record.
fn record(field: &str, text: &str, pair: Option<&str>) -> Record {
    let mut fields = Map::from_iter([(field.to_owned(), json!(text))]);
    if let Some(pair) = pair {
        fields.insert("pair".into(), json!(pair));
    }
    Record(fields)
}

/// The records of a file; each line that is not empty, if it is text.
fn file(path: &Path, field: &str) -> Result<Records> {
    if !is_text(path) {
        let mut records = records::open(path)?;
        let next = move || {
            let record = records.next()?;
            Some(record.map_err(|e| e.at(records.place())))
        };
        return Ok(Box::new(std::iter::from_fn(next)));
    }
    let field = field.to_owned();
    let lines = records::lines(path)?.filter(|l| l.as_ref().map_or(true, |l| !l.trim().is_empty()));
    Ok(Box::new(lines.map(move |line| Ok(record(&field, &line?, None)))))
}

/// The lines of standard input that are not empty.
fn stdin(field: String) -> impl Iterator<Item = Result<Record>> {
    let lines = std::io::stdin().lock().lines();
    lines
        .filter(|line| line.as_ref().map_or(true, |l| !l.trim().is_empty()))
        .map(move |line| {
            let line = line.map_err(|e| Error::input(format!("standard input: {e}")))?;
            Ok(record(&field, &line, None))
        })
}

fn show(
    context: &Context,
    record: &Record,
    field: &str,
    shown: Shown,
    single: bool,
    top: usize,
) -> Result<()> {
    let text = record.0.get(field).and_then(Value::as_str);
    if context.json {
        let mut line = match text {
            Some(text) => Map::from_iter([("text".to_owned(), json!(text))]),
            None => record.0.clone(),
        };
        line.extend(shown.json);
        if let Some(pair) = record.0.get("pair") {
            line.insert("pair".into(), pair.clone());
        }
        return out::json(&Value::Object(line));
    }
    if single && !shown.table.is_empty() {
        let mut table = Table::new(&[("label", Align::Left), ("", Align::Right)]);
        let rows = if top == 0 { shown.table.len() } else { top };
        for (label, share) in shown.table.into_iter().take(rows) {
            table.row([label, share]);
        }
        return out::print(&table.to_string());
    }
    match text {
        Some(text) if shown.needs_text => {
            out::line(&format!("{}\t{}", shown.line, one_line(text)))
        }
        _ => out::line(&shown.line),
    }
}

/// A text on one line, whatever is in it.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
