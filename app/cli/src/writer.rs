//! A model folder ready to write text.

use std::path::Path;

use athanor_generation::{Sampling, text};
use athanor_models::{Head, Model};
use athanor_store::{Check, Error, Result, read_json};
use athanor_text::{ChatTemplate, Tokenizer};
use serde_json::{Map, Value};

use crate::model_path;

/// How tokens are chosen; what is not given comes from the model's generation_config.json.
#[derive(Clone, Debug, clap::Args)]
pub struct SamplingArgs {
    /// Divides the logits before sampling; 0 takes the likeliest token [default: the model's, else 1]
    #[arg(long, value_name = "X")]
    pub temperature: Option<f64>,
    /// Samples among that many likeliest tokens; 0 among all [default: the model's, else 0]
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,
    /// Samples among the fewest tokens whose probabilities sum to this [default: the model's, else 1]
    #[arg(long, value_name = "P")]
    pub top_p: Option<f64>,
    /// Samples among tokens at least this share as likely as the likeliest [default: the model's, else 0]
    #[arg(long, value_name = "P")]
    pub min_p: Option<f64>,
    /// Divides the logits of tokens that stand already (multiplies negative ones) [default: the model's, else 1]
    #[arg(long, value_name = "X")]
    pub repetition_penalty: Option<f64>,
    /// Tokens at most
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max_tokens: usize,
}

/// In what the weights stand in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Weights {
    /// As they are.
    #[default]
    F32,
    /// Rounded: see [`Model::quantise`].
    Int8,
}

/// Options of commands that only read a model.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct WeightsArgs {
    /// Weights that the model computes with: f32, or int8 (and bf16 keys and values), faster at a small loss of
    /// precision
    #[arg(long, value_name = "TYPE", value_enum, default_value_t, hide_possible_values = true)]
    pub weights: Weights,
}

impl WeightsArgs {
    /// Opens a model folder and prepares its weights.
    ///
    /// # Errors
    /// Input, naming the file; also for int8 weights of a model that does not write.
    pub fn load(self, dir: &Path) -> Result<Model> {
        let mut model = model_path::open(dir)?;
        if self.weights == Weights::Int8 {
            model.quantise().map_err(|e| e.at(dir.display()))?;
        }
        Ok(model)
    }
}

/// Model, tokenizer and template, with the model's own generation settings.
pub struct Loaded {
    /// What writes.
    pub writer: text::Writer,
    /// Tokens that end an answer.
    pub stops: Vec<u32>,
    generation: Map<String, Value>,
}

/// Opens a model folder for writing; `chat` wants its chat template, or else it is taken if there
/// is one.
///
/// # Errors
/// Input, naming the file; also for a model that does not write, and a missing chat template.
pub fn load(dir: &Path, chat: Option<bool>, weights: WeightsArgs) -> Result<Loaded> {
    let tokenizer = Tokenizer::load(dir)?;
    let template = match chat.unwrap_or_else(|| has_template(dir)) {
        true => Some(ChatTemplate::load(dir)?),
        false => None,
    };
    let model = weights.load(dir)?;
    if model.head() != Head::CAUSAL_LM {
        return Err(Error::input("this model scores texts, it does not write any")
            .at(dir.display())
            .hint("give a model whose config.json names …ForCausalLM"));
    }
    check_vocabulary(&tokenizer, &model, dir)?;
    let path = dir.join("generation_config.json");
    let generation: Map<String, Value> =
        if path.is_file() { read_json(&path)? } else { Map::new() };
    let writer = text::Writer { model, tokenizer, template };
    let mut stops = writer.stops();
    for config in [&generation, &writer.model.config] {
        let eos = config.get("eos_token_id").cloned().unwrap_or_default();
        let list = eos.as_array().cloned().unwrap_or_else(|| vec![eos]);
        stops.extend(list.iter().filter_map(|v| u32::try_from(v.as_u64()?).ok()));
    }
    stops.sort_unstable();
    stops.dedup();
    Ok(Loaded { writer, stops, generation })
}

/// # Errors
/// Input, if the tokenizer has more tokens than the model, or one with an id beyond its last.
pub fn check_vocabulary(tokenizer: &Tokenizer, model: &Model, dir: &Path) -> Result<()> {
    let (tokens, rows) = (tokenizer.vocab_size(), model.sizes().vocabulary);
    let limit = tokenizer.id_limit();
    if tokens.max(limit) <= rows {
        return Ok(());
    }
    let found = match tokens > rows {
        true => format!("the tokenizer has {tokens} tokens, the model {rows}"),
        false => format!("the tokenizer's ids go up to {}, the model has {rows}", limit - 1),
    };
    Err(Error::input(found)
        .at(dir.display())
        .hint("tokenizer.json and model.safetensors must belong together"))
}

impl Loaded {
    /// The options over the model's own settings.
    ///
    /// # Errors
    /// Input, naming the option that is out of range.
    pub fn sampling(&self, args: &SamplingArgs) -> Result<Sampling> {
        let number = |key: &str| self.generation.get(key).and_then(Value::as_f64);
        let sampling = Sampling {
            temperature: args.temperature.or(number("temperature")).unwrap_or(1.0),
            top_k: args.top_k.or(number("top_k").map(|k| k as usize)).unwrap_or(0),
            top_p: args.top_p.or(number("top_p")).unwrap_or(1.0),
            min_p: args.min_p.or(number("min_p")).unwrap_or(0.0),
            repetition_penalty: args
                .repetition_penalty
                .or(number("repetition_penalty"))
                .unwrap_or(1.0),
            max_new_tokens: args.max_tokens,
        };
        check(&sampling)?;
        Ok(sampling)
    }
}

/// # Errors
/// Input, naming the setting that is out of range.
pub fn check(sampling: &Sampling) -> Result<()> {
    sampling.check().map_err(|p| {
        let what = p.to_string().replace("max_new_tokens", "max-tokens").replace('_', "-");
        Error::input(what)
    })
}

/// Whether a model folder has a chat template.
pub fn has_template(dir: &Path) -> bool {
    let config: Value = read_json(&dir.join("tokenizer_config.json")).unwrap_or_default();
    dir.join("chat_template.jinja").is_file() || !config["chat_template"].is_null()
}
