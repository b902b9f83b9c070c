//! The data of training steps without the training: what `athanor bench loader` measures.

use std::path::Path;

use athanor_models::{Model, families};
use athanor_store::Result;
use athanor_tensor::Device;
use athanor_text::Tokenizer;

use crate::{objectives::Context, section::PretrainSection};

/// Opens a folder of shards as pretraining does and makes the batches of the steps 0, 1, 2, … until `each`,
/// which gets a step's number of tokens, returns false. Nothing is trained, no weights are made.
///
/// # Errors
/// Input, for a corpus that the objective cannot be trained on; those of `each`.
pub fn load(
    section: &PretrainSection,
    corpus: &Path,
    seed: u64,
    each: &mut dyn FnMut(usize) -> Result<bool>,
) -> Result<()> {
    let tokenizer = Tokenizer::load(corpus.join("tokenizer"))?;
    let objective = section.objective.entry()?;
    let family = families::by_name(&section.model.family)?;
    let mut config = (family.config)(&section.model.shape(tokenizer.vocab_size()));
    (objective.config)(&section.settings(), &mut config);
    let model =
        Model::from_config(family, config, (objective.head)(&section.settings()), 0, Device::Plan)?;
    let context = Context {
        section: section.settings(),
        tokenizer: &tokenizer,
        corpus,
        guest: None,
        device: Device::default(),
    };
    let mut steps = (objective.steps)(&context, &model, seed)?;
    let mut step = 0;
    while each(steps(step)?)? {
        step += 1;
    }
    Ok(())
}
