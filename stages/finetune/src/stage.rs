//! The stage: from a pretrained model and examples to a model folder.

use athanor_store::{Done, Error, Input, Result, Stage, StageKind, Work, figures::FinetuneSummary};
use athanor_training::StageContext;

use crate::{job::Job, section::FinetuneSection};

/// The stage's entry.
pub const STAGE: StageKind = StageKind::of::<Finetune>();

struct Finetune;

impl Stage for Finetune {
    type Section = FinetuneSection;
    type Summary = FinetuneSummary;
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

    fn work(work: &Work<'_, FinetuneSection>) -> Result<Done<FinetuneSummary>> {
        let Work { run, section, .. } = work;
        if section.data.is_empty() {
            return Err(Error::input("there is no data to learn from")
                .at(format!("{}: [finetune]", run.recipe.name()))
                .hint("add [[finetune.data]] with [finetune.data.dialogue] path = \"conversations.jsonl\""));
        }
        let context = StageContext::of(work)?;
        let settings = section.settings();
        let job = Job { run, section: &settings, context: &context, folder: work.place("model") };
        (section.task.entry()?.learn)(&job)
    }
}
