//! `athanor generate`: what a model writes after a prompt.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use athanor_generation::{Beams, Sampling, beam_search};
use athanor_serving::{Finish, Loaded, StopFilter};
use athanor_store::{Error, Result, read_text};
use serde_json::{Value, json};

use crate::{
    context::Context,
    model_path::{self, Want},
    out, signals,
    writer::{self, WritingArgs},
};

/// Write text after a prompt
#[derive(clap::Args)]
#[command(after_help = "\
A chat model answers the prompt as a user's message; --raw continues it as plain text instead. The
same seed gives the same text.

Examples:
  athanor generate runs/demo --prompt 'Once upon a time'
  athanor generate runs/demo --prompt 春 -n 4 --temperature 0.8 --top-p 0.95
  athanor generate models/gpt2 --file prompt.txt --temperature 0 --stop '\\n\\n' --json
  athanor generate runs/demo --prompt 'Once upon a time' -n 32 --weights int8
  athanor generate models/gpt2 --prompt 'To be' --beams 5 -n 2 --repetition-penalty 1.1")]
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
    /// Searches for the likeliest texts with that many beams instead of sampling; -n shows the best N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), conflicts_with_all = ["temperature", "top_k", "top_p", "min_p"])]
    beams: Option<u16>,
    /// With --beams: divides a text's score by its length to this power; above 0 favours longer texts
    #[arg(long, value_name = "X", default_value_t = 1.0, requires = "beams", allow_negative_numbers = true)]
    length_penalty: f64,
    #[command(flatten)]
    writing: WritingArgs,
    /// Ends a text before this string; \n, \t and \\ are read as escapes (repeatable)
    #[arg(long, value_name = "STRING")]
    stop: Vec<String>,
    /// Continues the prompt as plain text, without the chat template
    #[arg(long)]
    raw: bool,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    context.set_threads();
    let prompt = match (&args.prompt, &args.file) {
        (Some(prompt), _) => prompt.clone(),
        (None, Some(path)) => read(path)?,
        (None, None) => String::new(),
    };
    let dir = model_path::resolve(context, &args.model, Want::Writer)?;
    let loaded = writer::load(context, &dir, args.raw.then_some(false), args.writing.weights)?;
    let sampling = writer::sampling(&loaded, &args.writing.sampling)?;
    let stops: Vec<String> = args.stop.iter().map(|s| unescape(s)).collect();
    let ids = loaded.writer.prompt(&prompt)?;
    let rows = usize::from(args.n);

    let _working = signals::working();
    if let Some(beams) = args.beams {
        let beams = Beams { beams: usize::from(beams), length_penalty: args.length_penalty };
        return search(context, &loaded, &prompt, &ids, &sampling, beams, &stops, rows, &dir);
    }
    let mut engine = loaded.engine(ids.len().saturating_add(sampling.max_new_tokens));
    let request = |stream| loaded.request(&ids, &sampling, args.writing.seed, stream);
    let tickets = engine.admit((0..rows as u64).map(request).collect(), &stops)?;
    let mut found = vec![Found::default(); rows];
    let streaming = rows == 1 && !context.json;
    while !engine.is_empty() {
        if context.session.interrupt.is_set() {
            if streaming {
                out::line("")?;
            }
            return Err(Error::interrupted("stopped while writing"));
        }
        for piece in engine.step()? {
            // Tickets rise.
            let Ok(row) = tickets.binary_search(&piece.ticket) else { continue };
            if streaming && !piece.text.is_empty() {
                out::print(&piece.text)?;
            }
            found[row].text.push_str(&piece.text);
            found[row].tokens.push(piece.token);
            found[row].log_probs.push(piece.log_prob);
            found[row].stopped = piece.finish == Some(Finish::Stop);
        }
    }
    if streaming {
        return if found[0].text.ends_with('\n') { Ok(()) } else { out::line("") };
    }
    show_all(context, &dir, &prompt, &found)
}

/// A text, cut at a stop string, and its tokens.
#[derive(Clone, Default)]
struct Found {
    text: String,
    tokens: Vec<u32>,
    log_probs: Vec<f32>,
    stopped: bool,
}

fn show_all(context: &Context, dir: &Path, prompt: &str, found: &[Found]) -> Result<()> {
    if context.json {
        let list: Vec<Value> = found
            .iter()
            .map(|f| {
                json!({
                    "text": f.text,
                    "tokens": f.tokens,
                    "log_probs": f.log_probs,
                    "finish": if f.stopped { "stop" } else { "length" },
                })
            })
            .collect();
        return out::json(&json!({ "model": dir, "prompt": prompt, "completions": list }));
    }
    for (row, f) in found.iter().enumerate() {
        let (gap, rows) = (if row == 0 { "" } else { "\n" }, found.len());
        let text = f.text.trim_end_matches('\n');
        out::print(&format!("{gap}── {} of {rows} ──\n{text}\n", row + 1))?;
    }
    Ok(())
}

/// The best texts of a beam search.
#[allow(clippy::too_many_arguments)]
fn search(
    context: &Context,
    loaded: &Loaded,
    prompt: &str,
    ids: &[u32],
    sampling: &Sampling,
    beams: Beams,
    stops: &[String],
    rows: usize,
    dir: &Path,
) -> Result<()> {
    if rows > beams.beams {
        return Err(Error::input(format!("-n {rows} texts of {} beams", beams.beams))
            .hint("ask for at most as many texts as beams"));
    }
    if !beams.length_penalty.is_finite() {
        return Err(Error::input("--length-penalty must be a number"));
    }
    let interrupted = || context.session.interrupt.is_set();
    let model = &loaded.writer.model;
    let texts = beam_search(model, ids, &loaded.stops, sampling, &beams, &interrupted)?;
    if interrupted() {
        return Err(Error::interrupted("stopped while writing"));
    }
    let mut found = Vec::new();
    for completion in texts.into_iter().take(rows) {
        let mut cutter = StopFilter::new(&loaded.writer.tokenizer, stops);
        let mut one = Found::default();
        for (&token, &log_prob) in completion.tokens.iter().zip(&completion.log_probs) {
            if !cutter.is_stopped() {
                one.text.push_str(&cutter.push(token)?);
                one.tokens.push(token);
                one.log_probs.push(log_prob);
            }
        }
        one.text.push_str(&cutter.finish()?);
        one.stopped = cutter.is_stopped() || completion.finish == Finish::Stop;
        found.push(one);
    }
    match &found[..] {
        [one] if !context.json => out::line(one.text.trim_end_matches('\n')),
        _ => show_all(context, dir, prompt, &found),
    }
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
