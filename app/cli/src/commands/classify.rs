//! `athanor classify`: the labels that a fine-tuned model gives to texts, pairs or words.

use std::{
    io::{BufRead, IsTerminal},
    path::PathBuf,
};

use athanor_finetune::{Predictor, Tag};
use athanor_report::table::{Align, Table};
use athanor_store::{Error, Result};
use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    documents::Documents,
    model_path::{self, Want},
    out, signals,
};

/// Texts that go through the model together.
const BATCH: usize = 256;

/// Label texts, pairs of texts or words with a fine-tuned model
#[derive(clap::Args)]
#[command(after_help = "\
A model that labels texts gives each label's probability, one that labels words gives each word its
label; words are what stands between spaces. Without --text and --data each line of standard input is a
text. Where there are several texts each has a line: label, probability and text between tabs; or
word/label between spaces. A model that gives numbers (task regression, a reward model) writes the number
and the text. --json gives one object a text.

Examples:
  athanor classify runs/classify --text 'a warm, funny and moving film.'
  athanor classify models/nli --text 'A man sleeps.' --pair 'A man is awake.' --json
  athanor classify runs/tags --text 'The cat sat on the mat .'
  athanor classify runs/classify --data reviews.jsonl.gz --json > labels.jsonl")]
pub struct Args {
    /// A fine-tuned model's folder, a stage's or a run's
    model: PathBuf,
    /// A text (repeatable)
    #[arg(long, short)]
    text: Vec<String>,
    /// The second text, where the model labels pairs; with one --text
    #[arg(long, requires = "text")]
    pair: Option<String>,
    /// JSON lines (plain or gzip), or a text file, of which each line is a text (repeatable)
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// The field of a JSON line that holds the text
    #[arg(long, value_name = "FIELD", default_value = "text")]
    field: String,
    /// Labels that are shown of a single text, the likeliest first; 0: all
    #[arg(long, short = 'k', value_name = "K", default_value_t = 5)]
    top_k: usize,
}

type Text = (String, Option<String>);

pub fn run(context: &Context, args: Args) -> Result<()> {
    context.set_threads(0);
    if args.pair.is_some() && (args.text.len() != 1 || !args.data.is_empty()) {
        return Err(Error::input("--pair goes with one --text")
            .hint("many pairs: athanor eval MODEL --task classification --data FILE"));
    }
    let folder = model_path::resolve(context, &args.model, Want::Any)?;
    let predictor = Predictor::open(&folder)?;
    if predictor.labels_words() && args.pair.is_some() {
        return Err(Error::input("this model labels words, it takes no pair").at(folder.display()));
    }
    let _working = signals::working();
    let documents = Documents::open(&args.data, &args.field)?.lines().named("--field");
    let pair = args.pair;
    let given = args.text.into_iter().map(|text| Ok((text, pair.clone())));
    let mut texts: Box<dyn Iterator<Item = Result<Text>>> =
        Box::new(given.chain(documents.map(|text| Ok((text?, None)))));
    let (first, second) = (texts.next().transpose()?, texts.next().transpose()?);
    let single = first.is_some() && second.is_none();
    if first.is_none() && !args.data.is_empty() {
        return Err(Error::input("the data hold no text"));
    }
    if first.is_none() {
        if std::io::stdin().is_terminal() {
            return Err(Error::input("there is no text")
                .hint("give --text or --data, or write texts to standard input"));
        }
        texts = Box::new(stdin());
    }
    let mut texts = first.into_iter().chain(second).map(Ok).chain(texts).peekable();
    while texts.peek().is_some() {
        if context.interrupt.is_set() {
            return Err(Error::interrupted("stopped while labelling"));
        }
        let batch: Vec<Text> = texts.by_ref().take(BATCH).collect::<Result<_>>()?;
        match predictor.labels_words() {
            true => words(context, &predictor, &batch)?,
            false if predictor.gives_numbers() => numbers(context, &predictor, &batch)?,
            false => whole(context, &predictor, &batch, single, args.top_k)?,
        }
    }
    Ok(())
}

/// The lines of standard input that are not empty.
fn stdin() -> impl Iterator<Item = Result<Text>> {
    let lines = std::io::stdin().lock().lines();
    lines
        .map(|line| {
            let line = line.map_err(|e| Error::input(format!("standard input: {e}")))?;
            Ok((line, None))
        })
        .filter(|text| text.as_ref().map_or(true, |(t, _)| !t.trim().is_empty()))
}

fn whole(
    context: &Context,
    predictor: &Predictor,
    texts: &[Text],
    single: bool,
    top: usize,
) -> Result<()> {
    let names = predictor.labels().names();
    for ((text, pair), shares) in texts.iter().zip(predictor.texts(texts)?) {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]).then(a.cmp(&b)));
        let best = order[0];
        if context.json {
            let all: Map<String, Value> =
                order.iter().map(|&i| (names[i].clone(), json!(shares[i]))).collect();
            let mut line = json!({ "text": text, "label": names[best], "probabilities": all });
            if let Some(pair) = pair {
                line["pair"] = json!(pair);
            }
            out::json(&line)?;
        } else if single {
            let mut table = Table::new(&[("label", Align::Left), ("", Align::Right)]);
            let shown = if top == 0 { names.len() } else { top };
            for &i in order.iter().take(shown) {
                table.row([names[i].clone(), format!("{:.2}%", 100.0 * shares[i])]);
            }
            out::print(&table.to_string())?;
        } else {
            out::line(&format!("{}\t{:.4}\t{}", names[best], shares[best], one_line(text)))?;
        }
    }
    Ok(())
}

/// A text on one line, whatever is in it.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn numbers(context: &Context, predictor: &Predictor, texts: &[Text]) -> Result<()> {
    for ((text, pair), number) in texts.iter().zip(predictor.numbers(texts)?) {
        if context.json {
            let mut line = json!({ "text": text, "number": number });
            if let Some(pair) = pair {
                line["pair"] = json!(pair);
            }
            out::json(&line)?;
        } else {
            out::line(&format!("{number:.4}\t{}", one_line(text)))?;
        }
    }
    Ok(())
}

fn words(context: &Context, predictor: &Predictor, texts: &[Text]) -> Result<()> {
    let names = predictor.labels().names();
    let split = |(text, _): &Text| text.split_whitespace().map(str::to_owned).collect();
    let sentences: Vec<Vec<String>> = texts.iter().map(split).collect();
    for ((words, tags), (text, _)) in
        sentences.iter().zip(predictor.words(&sentences)?).zip(texts)
    {
        let both = words.iter().zip(&tags);
        if context.json {
            let one = |(word, tag): (&String, &Tag)| {
                json!({
                    "word": word, "label": names[tag.label], "probability": tag.probability,
                })
            };
            out::json(&json!({ "text": text, "words": both.map(one).collect::<Vec<_>>() }))?;
        } else {
            let line: Vec<String> =
                both.map(|(word, tag)| format!("{word}/{}", names[tag.label])).collect();
            out::line(&line.join(" "))?;
        }
    }
    Ok(())
}
