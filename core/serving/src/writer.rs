//! A model folder that is ready to write text, with the settings that it brings along.

use std::path::Path;

use athanor_generation::{Request, Sampling, text};
use athanor_models::{Head, Model};
use athanor_store::{Error, Result, read_json};
use athanor_text::{ChatTemplate, Tokenizer};
use serde_json::{Map, Value};

use crate::text_engine::TextEngine;

/// A user's settings in place of those of the model's generation_config.json.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Divides the logits before sampling; 0 takes the likeliest token.
    pub temperature: Option<f64>,
    /// Samples among that many likeliest tokens; 0 among all.
    pub top_k: Option<usize>,
    /// Samples among the fewest tokens whose probabilities sum to this.
    pub top_p: Option<f64>,
    /// Samples among tokens at least this share as likely as the likeliest.
    pub min_p: Option<f64>,
    /// Divides the logits of tokens that are in the text already.
    pub repetition_penalty: Option<f64>,
}

/// Model, tokenizer and template, with the model's own generation settings.
pub struct Loaded {
    /// What writes.
    pub writer: text::Writer,
    /// Tokens that end an answer.
    pub stops: Vec<u32>,
    generation: Map<String, Value>,
}

impl Loaded {
    /// Reads what is beside `model` in its folder `dir`. `chat` asks for its chat template, or for none; `None` takes
    /// the template if there is one.
    ///
    /// # Errors
    /// Input, naming the file; also for a model that does not write, and a missing chat template.
    pub fn open(dir: &Path, model: Model, chat: Option<bool>) -> Result<Self> {
        let tokenizer = Tokenizer::load(dir)?;
        let template = match chat.unwrap_or_else(|| has_template(dir)) {
            true => Some(ChatTemplate::load(dir)?),
            false => None,
        };
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
        Ok(Self { writer, stops, generation })
    }

    /// An engine for texts of at most `capacity` tokens with their prompts.
    pub fn engine(&self, capacity: usize) -> TextEngine<'_> {
        TextEngine::new(&self.writer.model, &self.writer.tokenizer, capacity)
    }

    /// A request for the text after `prompt` that ends at the model's stop tokens; see [`Request`].
    pub fn request(&self, prompt: &[u32], sampling: &Sampling, seed: u64, stream: u64) -> Request {
        let (prompt, stop) = (prompt.to_vec(), self.stops.clone());
        Request { prompt, stop, sampling: sampling.clone(), seed, stream }
    }

    /// The user's settings, else the model's own. The caller checks that numbers are in range.
    pub fn sampling(&self, wanted: &Overrides, max_new_tokens: usize) -> Sampling {
        let number = |key: &str| self.generation.get(key).and_then(Value::as_f64);
        Sampling {
            temperature: wanted.temperature.or(number("temperature")).unwrap_or(1.0),
            top_k: wanted.top_k.or(number("top_k").map(|k| k as usize)).unwrap_or(0),
            top_p: wanted.top_p.or(number("top_p")).unwrap_or(1.0),
            min_p: wanted.min_p.or(number("min_p")).unwrap_or(0.0),
            repetition_penalty: wanted
                .repetition_penalty
                .or(number("repetition_penalty"))
                .unwrap_or(1.0),
            max_new_tokens,
        }
    }
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

/// Whether a model folder has a chat template.
pub fn has_template(dir: &Path) -> bool {
    let config: Value = read_json(&dir.join("tokenizer_config.json")).unwrap_or_default();
    dir.join("chat_template.jinja").is_file() || !config["chat_template"].is_null()
}
