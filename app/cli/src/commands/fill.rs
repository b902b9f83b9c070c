//! `athanor fill`: what a masked language model reads into the gaps of a text.

use std::path::PathBuf;

use athanor_models::Model;
use athanor_report::table::{Align, Table};
use athanor_store::{Error, Result};
use athanor_tensor::Graph;
use athanor_text::Tokenizer;
use serde_json::{Value, json};

use crate::{
    context::Context,
    model_path::{self, Want},
    out,
};

/// Guess the masked words of a text
#[derive(clap::Args)]
#[command(after_help = "\
The text names the mask token of the model's tokenizer: [MASK] for BERT, <mask> for RoBERTa. [MASK]
stands for it in any model. Each gap is guessed on its own; XLNet sees none of them.

Examples:
  athanor fill models/bert-base-uncased --text 'The capital of France is [MASK].'
  athanor fill runs/bert --text '春眠不覺[MASK]' --top-k 3 --json")]
pub struct Args {
    /// A model folder with a masked-language-model head, a stage's or a run's
    model: PathBuf,
    /// A text with gaps (repeatable)
    #[arg(long, short, required = true)]
    text: Vec<String>,
    /// A second text after the first, as BERT takes pairs
    #[arg(long)]
    pair: Option<String>,
    /// How many guesses for each gap
    #[arg(long, short = 'k', value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top_k: u16,
}

/// A word for a gap.
struct Guess {
    id: u32,
    token: String,
    probability: f64,
    text: String,
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    context.set_threads();
    let dir = model_path::resolve(context, &args.model, Want::Any)?;
    let model = model_path::open(context, &dir)?;
    if !model.fills_gaps() {
        return Err(Error::input(format!("a {:?} head does not guess masked words", model.head()))
            .at(dir.display())
            .hint("give a model whose config.json names …ForMaskedLM, BertForPreTraining or XLNetLMHeadModel"));
    }
    let tokenizer = Tokenizer::load(&dir)?;
    athanor_serving::check_vocabulary(&tokenizer, &model, &dir)?;
    let Some((name, mask)) = tokenizer.mask() else {
        return Err(Error::input("the tokenizer has no mask token")
            .at(dir.display())
            .hint("tokenizer_config.json names it as `mask_token`"));
    };
    let mut results = Vec::new();
    for text in &args.text {
        let own = text.replace("[MASK]", &name);
        let input = tokenizer.encode_input_with_specials(&own, args.pair.as_deref())?;
        let gaps: Vec<usize> = (0..input.ids.len()).filter(|&i| input.ids[i] == mask).collect();
        if gaps.is_empty() {
            return Err(Error::input(format!("no {name} in {text:?}"))
                .hint(format!("write {name} where a word is to be guessed")));
        }
        let (count, longest) = (input.ids.len(), model.sizes().context);
        if count > longest {
            return Err(Error::input(format!("{count} tokens, the model takes {longest}"))
                .hint("give a shorter text"));
        }
        results.push((text, guesses(&model, &tokenizer, &input, &gaps, args.top_k.into())?));
    }
    if context.json {
        let list: Vec<Value> = results.iter().map(|(text, gaps)| as_json(text, gaps)).collect();
        return out::json(&json!({ "model": dir, "mask": name, "texts": list }));
    }
    for (i, (text, gaps)) in results.iter().enumerate() {
        if results.len() > 1 {
            out::line(&format!("{}{text}", if i == 0 { "" } else { "\n" }))?;
        }
        for (place, gap) in gaps.iter().enumerate() {
            let heading = format!("gap {}", place + 1);
            let mut table =
                Table::new(&[("", Align::Right), (&heading, Align::Left), ("text", Align::Left)]);
            for guess in gap {
                let share = format!("{:.2}%", 100.0 * guess.probability);
                table.row([share, guess.token.clone(), guess.text.clone()]);
            }
            out::print(&format!("{table}"))?;
        }
    }
    Ok(())
}

fn as_json(text: &str, gaps: &[Vec<Guess>]) -> Value {
    let guess = |g: &Guess| {
        json!({ "id": g.id, "token": g.token, "probability": g.probability, "text": g.text })
    };
    let gaps: Vec<Vec<Value>> = gaps.iter().map(|gap| gap.iter().map(guess).collect()).collect();
    json!({ "text": text, "gaps": gaps })
}

/// The best words for each gap, best first.
fn guesses(
    model: &Model,
    tokenizer: &Tokenizer,
    encoded: &athanor_text::ModelInput,
    gaps: &[usize],
    top: usize,
) -> Result<Vec<Vec<Guess>>> {
    let ids = &encoded.ids;
    let signed = |values: &[u32]| values.iter().map(|&v| v as i32).collect::<Vec<_>>();
    let graph = Graph::inference(&model.params);
    let logits = model.gap_scores(&graph, &signed(ids), &signed(&encoded.types), gaps);
    let logits = logits.value().to_vec();
    let vocabulary = model.sizes().vocabulary;
    gaps.iter()
        .zip(logits.chunks_exact(vocabulary))
        .map(|(&gap, logits)| {
            let best = logits.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
            let total: f64 = logits.iter().map(|&v| f64::from(v - best).exp()).sum();
            let mut order: Vec<usize> = (0..vocabulary).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            order
                .into_iter()
                .take(top)
                .map(|id| {
                    let mut filled = ids.clone();
                    filled[gap] = id as u32;
                    Ok(Guess {
                        id: id as u32,
                        token: tokenizer.token(id as u32).unwrap_or_default(),
                        probability: f64::from(logits[id] - best).exp() / total,
                        text: tokenizer.decode(&filled)?,
                    })
                })
                .collect()
        })
        .collect()
}
