//! Model folders that stages hand on.

use std::path::{Path, PathBuf};

use athanor_models::Model;
use athanor_store::{Error, Result, StagedDir};
use athanor_text::{ChatTemplate, SpecialTokens, Tokenizer};

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
    let bos = tokenizer.require(SpecialTokens::END_OF_TEXT)?;
    let eos = if template.is_some() { tokenizer.require(SpecialTokens::END)? } else { bos };
    model.set_tokens(bos, eos, tokenizer.require(SpecialTokens::PAD)?);
    let staged = StagedDir::new(dir)?;
    model.save(staged.path())?;
    tokenizer.save(staged.path())?;
    if let Some(template) = template {
        template.save(staged.path())?;
    }
    staged.commit()
}

/// The model folder that an earlier stage of the run made, or the one that the recipe names with
/// `key`.
///
/// # Errors
/// Input, if it is not there.
pub fn stage_model(
    run: &athanor_store::Run,
    stage: &str,
    key: &str,
    named: Option<&Path>,
) -> Result<PathBuf> {
    if let Some(path) = named {
        return Ok(run.recipe.resolve(path));
    }
    let path = run.stage(stage).path("model");
    if path.join("config.json").exists() {
        return Ok(path);
    }
    Err(Error::input(format!("the stage {stage} has made no model yet"))
        .at(path.display())
        .hint(format!("run `athanor {stage}` first, or name a model folder with {key}")))
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
