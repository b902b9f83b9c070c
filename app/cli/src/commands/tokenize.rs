//! `athanor tokenize`: a text's tokens.

use std::path::PathBuf;

use athanor_report::table::{Align, Table};
use athanor_store::{Result, read_text};
use athanor_text::Tokenizer;
use serde_json::{Value, json};

use crate::{
    context::Context,
    model_path::{self, Want},
    out,
};

/// Show the tokens of a text
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  athanor tokenize runs/demo/corpus/tokenizer --text 'Once upon a time 從前'
  athanor tokenize models/gpt2 --lines texts.txt > ids.jsonl")]
pub struct Args {
    /// A tokenizer folder, a tokenizer.json, BERT's vocab.txt, or a model
    model: PathBuf,
    /// The text
    #[arg(long, short, required_unless_present = "lines", conflicts_with = "lines")]
    text: Option<String>,
    /// Reads a file: the ids of each of its lines, a JSON list a line
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// Reads the names of special tokens as such
    #[arg(long)]
    specials: bool,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    let known = ["tokenizer.json", "vocab.txt", "vocab.json", "encoder.json"];
    let own = args.model.is_file() || known.iter().any(|f| args.model.join(f).is_file());
    let path = match own {
        true => args.model,
        false => model_path::resolve(context, &args.model, Want::Any)?,
    };
    let tokenizer = Tokenizer::load(&path)?;
    let encode = |text: &str| match args.specials {
        true => tokenizer.encode_with_specials(text),
        false => tokenizer.encode(text),
    };
    if let Some(file) = &args.lines {
        let mut all = String::new();
        for line in read_text(file)?.split_terminator('\n') {
            all += &json!(encode(line)?).to_string();
            all.push('\n');
        }
        return out::print(&all);
    }
    let text = args.text.unwrap_or_default();
    let ids = encode(&text)?;
    let piece = |id: u32| tokenizer.decode_with_specials(&[id]);
    if context.json {
        let tokens: Result<Vec<Value>> =
            ids.iter().map(|&id| Ok(json!({ "id": id, "text": piece(id)? }))).collect();
        return out::json(&json!({ "tokens": tokens?, "bytes": text.len() }));
    }
    let mut table = Table::new(&[("id", Align::Right), ("text", Align::Left)]);
    for &id in &ids {
        table.row([id.to_string(), format!("{:?}", piece(id)?)]);
    }
    let per = text.len() as f64 / ids.len().max(1) as f64;
    out::print(&format!("{table}\n{} tokens, {per:.2} bytes each\n", ids.len()))
}
