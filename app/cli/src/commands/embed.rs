//! `athanor embed`: vectors of sentences.

use std::{collections::BTreeMap, path::PathBuf};

use athanor_lab::documents::Documents;
use athanor_models::{Pooling, Sentences};
use athanor_store::{ArrayDataRef, ArrayRef, Error, Result, save_arrays};
use athanor_text::Tokenizer;
use serde_json::json;

use crate::{
    context::Context,
    model_path::{self, Want},
    out, signals,
};

/// Tokens of a batch, padding included.
const BATCH_TOKENS: usize = 8192;
/// Texts that are sorted by length together.
const WINDOW: usize = 2048;

/// Turn texts into vectors
#[derive(clap::Args)]
#[command(after_help = "\
The model's modules.json (sentence-transformers) says how hidden states become a vector; without it
the vector is the mean over the tokens, of length 1. Vectors come as one JSON array a line, or with
--output as a safetensors file with `embeddings` [texts, width].

Examples:
  athanor embed models/all-MiniLM-L6-v2 --text 'A furnace.' --text 一座熔爐。
  athanor embed models/all-MiniLM-L6-v2 --data texts.jsonl.gz --output vectors.safetensors")]
pub struct Args {
    /// A model folder, a stage's or a run's
    model: PathBuf,
    /// A text (repeatable)
    #[arg(long, short, required_unless_present = "data")]
    text: Vec<String>,
    /// JSON lines (plain or gzip), or a text file, of which each line is a text (repeatable)
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// The field of a JSON line that holds the text
    #[arg(long, value_name = "FIELD", default_value = "text")]
    field: String,
    /// Texts of --data at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    /// How the tokens become one vector: mean, cls, max, lasttoken, mean_sqrt_len_tokens or
    /// weightedmean, in place of what the model says
    #[arg(long, value_name = "HOW")]
    pooling: Option<String>,
    /// Writes the vectors to a file
    #[arg(long, value_name = "OUT.safetensors")]
    output: Option<PathBuf>,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    context.set_threads();
    let pooling = args.pooling.as_deref().map(Pooling::by_name).transpose();
    let pooling = pooling.map_err(|e| e.at("--pooling"))?;
    let dir = model_path::resolve(context, &args.model, Want::Any)?;
    let mut documents = Documents::open(&args.data, &args.field)?.lines().named("--field");
    let sentences = Sentences::load(&dir, pooling, context.device())?;
    model_path::say_left_over(&dir, sentences.model());
    let tokenizer = Tokenizer::load(&dir)?;
    athanor_serving::check_vocabulary(&tokenizer, sentences.model(), &dir)?;
    let longest = sentences.longest().min(tokenizer.longest().unwrap_or(usize::MAX));
    let _working = signals::working();
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut texts =
        args.text.into_iter().map(Ok).chain(documents.by_ref().take(limit)).peekable();
    let streaming = args.output.is_none() && !context.json;
    let (mut all, mut count, mut cut) = (Vec::new(), 0usize, 0usize);
    while texts.peek().is_some() {
        let mut rows = Vec::new();
        for text in texts.by_ref().take(WINDOW) {
            let mut input = tokenizer.encode_input(&text?, None)?;
            cut += usize::from(input.ids.len() > longest);
            input.truncate(longest);
            rows.push(input.ids);
        }
        count += rows.len();
        for vector in embed(context, &sentences, &rows)? {
            match streaming {
                true => out::line(&json!(vector).to_string())?,
                false => all.push(vector),
            }
        }
    }
    if cut > 0 && !context.quiet {
        out::note(&format!("{cut} of {count} texts were cut off at {longest} tokens"));
    }
    if let Some(path) = &args.output {
        let flat: Vec<f32> = all.iter().flatten().copied().collect();
        let shape = [count, sentences.width()];
        let data = ArrayDataRef::F32(&flat);
        let array = ArrayRef { name: "embeddings", shape: &shape, data };
        save_arrays(path, &[array], &BTreeMap::new())?;
        if !context.json && !context.quiet {
            out::note(&format!("wrote {count} vectors to {}", path.display()));
        }
    }
    if !context.json {
        return Ok(());
    }
    let mut result = json!({ "model": dir, "width": sentences.width(), "texts": count });
    match &args.output {
        Some(path) => result["output"] = json!(path),
        None => result["embeddings"] = json!(all),
    }
    out::json(&result)
}

/// Vectors in the order of the rows; rows of like length share a batch.
fn embed(context: &Context, sentences: &Sentences, rows: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| rows[i].len());
    let mut vectors = vec![Vec::new(); rows.len()];
    let mut rest = &order[..];
    while !rest.is_empty() {
        if context.session.interrupt.is_set() {
            return Err(Error::interrupted("stopped while embedding"));
        }
        // Sorted, so the last of a batch is its longest.
        let fits = |n: usize| (n + 1) * rows[rest[n]].len().max(1) <= BATCH_TOKENS;
        let n = (1..rest.len()).find(|&n| !fits(n)).unwrap_or(rest.len());
        let (batch, others) = rest.split_at(n);
        let picked: Vec<Vec<u32>> = batch.iter().map(|&i| rows[i].clone()).collect();
        for (&i, vector) in batch.iter().zip(sentences.embed(&picked)) {
            vectors[i] = vector;
        }
        rest = others;
    }
    Ok(vectors)
}
