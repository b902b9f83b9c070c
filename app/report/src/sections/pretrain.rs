//! Pretraining: the curves, the held-out figures and what the model wrote on the way.

use athanor_store::figures::{PretrainSummary, Training};

use super::{prelude::*, training::Trained};

fn trained(stage: &StageFiles, summary: PretrainSummary) -> Trained<'_, PretrainSummary> {
    let PretrainSummary { heldout_loss, heldout_bits_per_byte, .. } = summary;
    let Training { parameters, tokens, .. } = summary.training;
    let rest = PretrainSummary {
        training: Training::default(),
        heldout_loss: None,
        heldout_bits_per_byte: None,
        ..summary
    };
    let (loss, bits) = (heldout_loss, heldout_bits_per_byte);
    Trained { stage, rest, loss, bits, parameters, tokens, labelled: false }
}

pub fn key(stage: &StageFiles) -> String {
    trained(stage, stage.summary()).key()
}

pub fn view(run: &RunFiles) -> Option<Value> {
    let (stage, summary) = shown(run)?;
    Some(trained(stage, summary).view())
}
