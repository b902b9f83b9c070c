//! The stage: from a pretrained model and examples to a model folder.

use std::path::Path;

use athanor_store::{Error, Key, Recipe, Result, Run, Section, sha256_file, sha256_folder};
use athanor_text::{ChatTemplate, SpecialTokens, Tokenizer};
use athanor_training::{
    StageContext, Trainer, load_tokenizer, load_writer, save_model, stage_model,
};
use serde_json::{Value, json};

use crate::{section::FinetuneSection, tasks};

/// The stage's name.
pub const NAME: &str = "finetune";

/// The stage's keys.
pub fn keys() -> Vec<Key> {
    FinetuneSection::keys()
}

/// The stage's section with every key, checked.
///
/// # Errors
/// Input, with the key's place.
pub fn resolved(recipe: &Recipe) -> Result<Value> {
    Ok(athanor_store::recipe::json(&recipe.section::<FinetuneSection>(NAME)?))
}

/// Fails unless the files, and the earlier stages' results, that the stage works on are there or
/// will be: asked before the first stage of a recipe begins.
///
/// # Errors
/// Input, with the key's place.
pub fn check_files(recipe: &Recipe, run: &Path) -> Result<()> {
    let section = recipe.section::<FinetuneSection>(NAME)?;
    match &section.model {
        Some(path) => recipe.needs_file("finetune.model", path)?,
        None => recipe.needs_stage(run, NAME, "pretrain", "model")?,
    }
    for (i, data) in section.data.iter().enumerate() {
        recipe.needs_file(&format!("{NAME}.data.{i}.dialogue.path"), &data.dialogue.path)?;
    }
    Ok(())
}

/// What a task works with.
pub(crate) struct Materials<'a> {
    pub section: &'a FinetuneSection,
    pub recipe: &'a Recipe,
    pub tokenizer: &'a Tokenizer,
    pub template: &'a ChatTemplate,
}

impl Materials<'_> {
    /// Tokens of a row.
    pub fn context(&self, model: usize) -> usize {
        if self.section.context == 0 { model } else { self.section.context.min(model) }
    }
}

/// Fine-tunes a model and writes RUN/finetune/model.
///
/// # Errors
/// Input for a wrong recipe, model or data, Interrupted after a checkpoint, Failed otherwise.
pub fn run(run: &Run) -> Result<()> {
    let section: FinetuneSection = run.recipe.section(NAME)?;
    if section.data.is_empty() {
        return Err(Error::input("there is no data to learn from")
            .at(format!("{}: [finetune]", run.recipe.name()))
            .hint("add [[finetune.data]] with [finetune.data.dialogue] path = \"conversations.jsonl\""));
    }
    let folder = stage_model(run, "pretrain", "finetune.model", section.model.as_deref())?;
    let mut fingerprint = run.fingerprint(&section).input("model", sha256_folder(&folder)?);
    for (i, data) in section.data.iter().enumerate() {
        let path = run.recipe.resolve(&data.dialogue.path);
        fingerprint = fingerprint.input(&format!("data.{i}"), sha256_file(&path)?);
    }
    let Some(context) = StageContext::open(run, NAME, fingerprint)? else { return Ok(()) };

    let model = load_writer(&folder)?;
    let tokenizer = load_tokenizer(&folder, &model)?.with_eos(SpecialTokens::END)?;
    let template = ChatTemplate::load(&folder).unwrap_or_default();
    let parameters = model.params.count();
    let steps = section.train.steps;
    let mut trainer = Trainer::open(&context, &section.train, model, steps, steps)?;
    let kind = tasks::TASKS.iter().find(|t| t.name == section.task);
    let kind = kind.ok_or_else(|| Error::input(format!("unknown task {:?}", section.task)))?;
    let materials = Materials {
        section: &section,
        recipe: &run.recipe,
        tokenizer: &tokenizer,
        template: &template,
    };
    let outcome = (kind.train)(&mut trainer, &materials)?;

    let figure = |name: &str| outcome.figures.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    let (seconds, tokens, withheld) = (trainer.seconds(), trainer.tokens(), trainer.withheld());
    let told = figure("loss").map_or(String::new(), |l| format!("held-out loss {l:.3}"));
    let mut model = trainer.close(&told)?;
    save_model(&context.folder.path("model"), &mut model, &tokenizer, Some(&template))?;
    let summary = json!({
        "seconds": seconds,
        "parameters": parameters,
        "tokens": tokens,
        "heldout_loss": figure("loss"),
        "heldout_perplexity": figure("perplexity"),
        "tasks": outcome.tasks,
        "withheld_updates": withheld,
    });
    context.folder.finish(&context.fingerprint, seconds, &summary)
}
