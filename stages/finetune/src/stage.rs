//! The stage: from a pretrained model and examples to a model folder.

use std::path::Path;

use athanor_models::Model;
use athanor_store::{Done, Error, Input, Result, Run, Stage, StageKind, Work};
use athanor_text::{ChatTemplate, Tokenizer};
use athanor_training::{Figures, StageContext, Trainer, save_model};
use serde_json::{Map, Value, json};

use crate::section::FinetuneSection;

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
    ) -> Result<Done> {
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
        Ok(Done { seconds, summary })
    }
}

/// The stage's entry.
pub const STAGE: StageKind = StageKind::of::<Finetune>();

struct Finetune;

impl Stage for Finetune {
    type Section = FinetuneSection;
    const NAME: &'static str = "finetune";
    const ABOUT: &'static str = "Teach the model tasks or conversation from examples";

    fn inputs(section: &FinetuneSection) -> Vec<Input> {
        let mut all = vec![Input::model("model", section.model.as_deref(), "pretrain")];
        for (i, data) in section.data.iter().enumerate() {
            for (n, (key, path)) in data.files().into_iter().enumerate() {
                let name = if n == 0 { format!("data.{i}") } else { format!("data.{i}.{key}") };
                all.push(Input::file(name, format!("data.{i}.{key}"), path));
            }
        }
        all
    }

    fn work(work: &Work<'_, FinetuneSection>) -> Result<Done> {
        let Work { run, section, .. } = work;
        if section.data.is_empty() {
            return Err(Error::input("there is no data to learn from")
                .at(format!("{}: [finetune]", run.recipe.name()))
                .hint("add [[finetune.data]] with [finetune.data.dialogue] path = \"conversations.jsonl\""));
        }
        let context = StageContext::of(work);
        let job = Job { run, section, context: &context, folder: work.place("model") };
        (section.task.entry()?.run)(&job)
    }
}
