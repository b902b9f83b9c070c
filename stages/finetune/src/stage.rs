//! The stage: from a pretrained model and examples to a model folder.

use std::path::Path;

use athanor_models::Model;
use athanor_store::{Error, Key, Recipe, Result, Run, Section, sha256_file, sha256_folder};
use athanor_text::{ChatTemplate, Tokenizer};
use athanor_training::{Figures, StageContext, Trainer, save_model, stage_model};
use serde_json::{Map, Value, json};

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
        for (key, path) in data.files() {
            recipe.needs_file(&format!("{NAME}.data.{i}.{key}"), path)?;
        }
    }
    Ok(())
}

/// What a task works with.
pub(crate) struct Job<'a> {
    pub run: &'a Run,
    pub section: &'a FinetuneSection,
    pub context: &'a StageContext<'a>,
    /// The model that it starts from.
    pub folder: &'a Path,
}

/// What training a task leaves.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Figures on held-out data, the loss first.
    pub figures: Figures,
    /// What the progress bar ends with.
    pub told: String,
    /// One entry for each source and metric, as summary.json has them.
    pub tasks: Vec<Value>,
    /// More for summary.json.
    pub details: Map<String, Value>,
}

impl<'a> Job<'a> {
    /// A trainer, begun or gone on with.
    pub fn trainer(&self, model: Model) -> Result<Trainer<'a>> {
        let train = &self.section.train;
        Trainer::open(self.context, train, model, train.steps, train.steps)
    }

    /// Writes the model and the summary.
    pub fn finish(
        &self,
        trainer: Trainer<'_>,
        tokenizer: &Tokenizer,
        template: Option<&ChatTemplate>,
        outcome: Outcome,
    ) -> Result<()> {
        let Outcome { figures, told, tasks, details } = outcome;
        let figure = |name: &str| figures.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        let (seconds, tokens, withheld) = (trainer.seconds(), trainer.tokens(), trainer.withheld());
        let parameters = trainer.model.params.count();
        let mut model = trainer.close(&told)?;
        save_model(&self.context.folder.path("model"), &mut model, tokenizer, template)?;
        let mut summary = json!({
            "seconds": seconds,
            "parameters": parameters,
            "tokens": tokens,
            "heldout_loss": figure("loss"),
            "heldout_perplexity": figure("perplexity"),
            "tasks": tasks,
            "withheld_updates": withheld,
        });
        if let Value::Object(summary) = &mut summary {
            summary.extend(details);
        }
        self.context.folder.finish(&self.context.fingerprint, seconds, &summary)
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
    let kind = tasks::by_name(&section.task)?;
    let folder = stage_model(run, "pretrain", "finetune.model", section.model.as_deref())?;
    let mut fingerprint = run.fingerprint(&section).input("model", sha256_folder(&folder)?);
    for (i, data) in section.data.iter().enumerate() {
        for (n, (key, path)) in data.files().into_iter().enumerate() {
            let name = if n == 0 { format!("data.{i}") } else { format!("data.{i}.{key}") };
            fingerprint = fingerprint.input(&name, sha256_file(&run.recipe.resolve(path))?);
        }
    }
    let Some(context) = StageContext::open(run, NAME, fingerprint)? else { return Ok(()) };
    (kind.run)(&Job { run, section: &section, context: &context, folder: &folder })
}
