//! Model folders that stages hand on.

use std::path::Path;

use athanor_models::{Head, Model};
use athanor_store::{Console, Error, Result, StagedDir};
use athanor_tensor::Device;
use athanor_text::{ChatTemplate, SpecialTokens, Tokenizer};

/// Opens a model that writes text, one token after another.
///
/// # Errors
/// Those of [`Model::load`]; input for a model with another head, such as a reward model.
pub fn load_writer(folder: &Path, device: Device) -> Result<Model> {
    let model = Model::load(folder, device)?;
    if model.head() == Head::CAUSAL_LM {
        return Ok(model);
    }
    Err(Error::input("this model does not write text")
        .at(folder.display())
        .hint("its config.json names no …ForCausalLM; give a model that does"))
}

/// Says what a folder's file held beyond the model that was opened from it.
pub fn say_left_over(console: &dyn Console, folder: &Path, model: &Model) {
    let left_over = model.left_over();
    if let Some(warning) = left_over.warning() {
        console.warn(&format!("{}: {warning}", folder.display()));
    }
    if let Some(remark) = left_over.remark() {
        console.say(&format!("{}: {remark}", folder.display()));
    }
}

/// Writes a whole model folder, or nothing: model, tokenizer and, for chat models, the template.
///
/// # Errors
/// Those of writing.
pub fn save_model(
    dir: &Path,
    model: &mut Model,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
) -> Result<()> {
    set_tokens(model, tokenizer)?;
    if template.is_some() {
        let pad = tokenizer.pad_id().map_or_else(|| tokenizer.require(SpecialTokens::PAD), Ok)?;
        let bos = tokenizer.require(SpecialTokens::END_OF_TEXT)?;
        model.set_tokens(bos, tokenizer.require(SpecialTokens::END)?, pad);
    }
    let staged = StagedDir::new(dir)?;
    model.save(staged.path())?;
    tokenizer.save(staged.path())?;
    if let Some(template) = template {
        template.save(staged.path())?;
    }
    staged.commit()
}

/// Tells a model its tokenizer's special tokens: what begins a text, ends one and pads. Where BERT's
/// kin have no such tokens, the first and the separating one stand for them.
///
/// # Errors
/// Input, if there are none.
pub fn set_tokens(model: &mut Model, tokenizer: &Tokenizer) -> Result<()> {
    let or = |id: Option<u32>, other: Option<u32>, name: &str| match id.or(other) {
        Some(id) => Ok(id),
        None => tokenizer.require(name),
    };
    let bos = or(tokenizer.bos_id(), tokenizer.cls_id(), SpecialTokens::END_OF_TEXT)?;
    let eos = or(tokenizer.eos_id(), tokenizer.sep_id(), SpecialTokens::END_OF_TEXT)?;
    // GPT-2 pads with what ends a text, as everybody does who fine-tunes it.
    let pad = tokenizer.pad_id().or_else(|| tokenizer.id(SpecialTokens::PAD)).unwrap_or(eos);
    model.set_tokens(bos, eos, pad);
    Ok(())
}

/// The tokenizer of a model folder.
///
/// # Errors
/// Input, if it is missing or wrong, or larger than the model's vocabulary.
pub fn load_tokenizer(dir: &Path, model: &Model) -> Result<Tokenizer> {
    let tokenizer = Tokenizer::load(dir)?;
    let (tokens, rows) = (tokenizer.vocab_size(), model.sizes().vocabulary);
    if tokens > rows {
        return Err(Error::input(format!("the tokenizer has {tokens} tokens, the model {rows}"))
            .at(dir.display())
            .hint("both must come from the same model"));
    }
    Ok(tokenizer)
}
