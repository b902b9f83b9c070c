//! One score a choice, cross-entropy over the choices. input_ids are [batch, choices, time].

use athanor_store::Result;
use athanor_tensor::{Tensor, Var, ops};

use super::{Call, Kind};

pub const HEAD: Kind = Kind {
    name: "multiple-choice",
    suffix: "ForMultipleChoice",
    standard: None,
    labelled: false,
    labels: &["labels"],
    choices: true,
    gaps: false,
    forward,
};

fn forward(call: &mut Call<'_>) -> Result<()> {
    call.scores(0);
    let scores = call.withdraw("logits");
    let choices = call.choices;
    let batch = scores.value().len() / choices.max(1);
    let logits = ops::reshape(&scores, [batch, choices]);
    if let Some(labels) = call.given.classes("labels", &[batch], choices)? {
        let targets = super::call::counted(labels, "labels")?;
        let mut weights = vec![0.0; batch * choices];
        for &(row, class) in &targets {
            weights[row * choices + class] = -1.0 / targets.len() as f32;
        }
        let weights = Tensor::from_slice(call.model.device(), &weights, [batch, choices]);
        let weighted = ops::mul(&ops::log_softmax(&logits), &Var::constant(weights));
        call.loss = Some(ops::sum(&weighted));
    }
    call.give("logits", logits);
    Ok(())
}
