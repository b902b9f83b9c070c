//! Options of commands that write text, and what they open.

use std::path::Path;

use athanor_generation::Sampling;
use athanor_models::Model;
use athanor_serving::{Loaded, Overrides};
use athanor_store::{Check, Error, Result};

use crate::{context::Context, model_path};

/// How tokens are chosen; settings that are not given come from the model's generation_config.json.
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
    /// Divides the logits of tokens that are in the text already (multiplies negative ones) [default: the model's, else 1]
    #[arg(long, value_name = "X")]
    pub repetition_penalty: Option<f64>,
    /// Tokens at most
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max_tokens: usize,
}

/// The type of the weights in memory.
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
    pub fn load(self, context: &Context, dir: &Path) -> Result<Model> {
        let mut model = model_path::open(context, dir)?;
        if self.weights == Weights::Int8 {
            model.quantise().map_err(|e| e.at(dir.display()))?;
        }
        Ok(model)
    }
}

/// Options of commands that write text.
#[derive(Clone, Debug, clap::Args)]
pub struct WritingArgs {
    /// How tokens are chosen.
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// What the model computes with.
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// What all randomness comes from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Opens a model folder for writing; see [`Loaded::open`].
///
/// # Errors
/// Input, naming the file; also for a model that does not write, and a missing chat template.
pub fn load(
    context: &Context,
    dir: &Path,
    chat: Option<bool>,
    weights: WeightsArgs,
) -> Result<Loaded> {
    Loaded::open(dir, weights.load(context, dir)?, chat)
}

/// The options over the model's own settings.
///
/// # Errors
/// Input, naming the option that is out of range.
pub fn sampling(loaded: &Loaded, args: &SamplingArgs) -> Result<Sampling> {
    let wanted = Overrides {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
    };
    let sampling = loaded.sampling(&wanted, args.max_tokens);
    check(&sampling)?;
    Ok(sampling)
}

/// # Errors
/// Input, naming the setting that is out of range.
pub fn check(sampling: &Sampling) -> Result<()> {
    sampling.check().map_err(|p| {
        let what = p.to_string().replace("max_new_tokens", "max-tokens").replace('_', "-");
        Error::input(what)
    })
}
