//! `athanor generate`: what a model writes after a prompt.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use athanor_generation::{Decoder, Finish};
use athanor_store::{Error, Result, read_text};
use serde_json::{Value, json};

use crate::{
    context::Context,
    model_path::{self, Want},
    out, signals,
    stream::Cutter,
    writer::{self, SamplingArgs},
};

/// Write text after a prompt
#[derive(clap::Args)]
#[command(after_help = "\
A chat model answers the prompt as a user's message; --raw continues it as plain text instead. The
same seed gives the same text.

Examples:
  athanor generate runs/demo --prompt 'Once upon a time'
  athanor generate runs/demo --prompt 春 -n 4 --temperature 0.8 --top-p 0.95
  athanor generate models/gpt2 --file prompt.txt --temperature 0 --stop '\\n\\n' --json")]
pub struct Args {
    /// A model folder, a stage's or a run's
    model: PathBuf,
    /// The text to write after
    #[arg(long, short, required_unless_present = "file", conflicts_with = "file")]
    prompt: Option<String>,
    /// Reads the prompt from a file; - is standard input
    #[arg(long, short)]
    file: Option<PathBuf>,
    /// How many texts
    #[arg(short, long = "number", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    n: u16,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// What all randomness comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ends a text before this string; \n, \t and \\ are read as escapes (repeatable)
    #[arg(long, value_name = "STRING")]
    stop: Vec<String>,
    /// Continues the prompt as plain text, without the chat template
    #[arg(long)]
    raw: bool,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    context.set_threads(0);
    let prompt = match (&args.prompt, &args.file) {
        (Some(prompt), _) => prompt.clone(),
        (None, Some(path)) => read(path)?,
        (None, None) => String::new(),
    };
    let dir = model_path::resolve(context, &args.model, Want::Writer)?;
    let loaded = writer::load(&dir, args.raw.then_some(false))?;
    let sampling = loaded.sampling(&args.sampling)?;
    let stops: Vec<String> = args.stop.iter().map(|s| unescape(s)).collect();
    let ids = loaded.writer.prompt(&prompt)?;
    let rows = usize::from(args.n);

    let _working = signals::working();
    let tokenizer = &loaded.writer.tokenizer;
    let prompts = vec![ids; rows];
    let mut decoder =
        Decoder::new(&loaded.writer.model, &prompts, &loaded.stops, &sampling, args.seed)?;
    let mut cutters: Vec<_> = (0..rows).map(|_| Cutter::new(tokenizer, &stops)).collect();
    let mut texts = vec![String::new(); rows];
    let mut counts = vec![0usize; rows];
    let streaming = rows == 1 && !context.json;
    let show = |texts: &mut [String], row: usize, text: String| {
        texts[row].push_str(&text);
        if streaming && !text.is_empty() { out::print(&text) } else { Ok(()) }
    };
    while !decoder.is_done() && cutters.iter().any(|c| !c.is_stopped()) {
        if context.interrupt.is_set() {
            if streaming {
                out::line("")?;
            }
            return Err(Error::interrupted("stopped while writing"));
        }
        for (row, token) in decoder.step() {
            if !cutters[row].is_stopped() {
                counts[row] += 1;
                let text = cutters[row].push(token)?;
                show(&mut texts, row, text)?;
            }
        }
    }
    for (row, cutter) in cutters.iter_mut().enumerate() {
        let text = cutter.finish()?;
        show(&mut texts, row, text)?;
    }
    if streaming {
        return if texts[0].ends_with('\n') { Ok(()) } else { out::line("") };
    }
    let completions = decoder.finish();
    if context.json {
        let list: Vec<Value> = (0..rows)
            .map(|row| {
                let n = counts[row];
                let stopped = cutters[row].is_stopped() || completions[row].finish == Finish::Stop;
                json!({
                    "text": texts[row],
                    "tokens": completions[row].tokens[..n],
                    "log_probs": completions[row].log_probs[..n],
                    "finish": if stopped { "stop" } else { "length" },
                })
            })
            .collect();
        return out::json(&json!({ "model": dir, "prompt": prompt, "completions": list }));
    }
    for (row, text) in texts.iter().enumerate() {
        let gap = if row == 0 { "" } else { "\n" };
        out::print(&format!("{gap}── {} of {rows} ──\n{}\n", row + 1, text.trim_end_matches('\n')))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    if path != Path::new("-") {
        return read_text(path);
    }
    let mut bytes = Vec::new();
    let fail = |e| Error::io("read", Path::new("standard input"), e);
    std::io::stdin().lock().read_to_end(&mut bytes).map_err(fail)?;
    String::from_utf8(bytes).map_err(|_| Error::input("not UTF-8 text").at("standard input"))
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('\\') | None => out.push('\\'),
                Some(other) => out.extend(['\\', other]),
            },
            c => out.push(c),
        }
    }
    out
}
