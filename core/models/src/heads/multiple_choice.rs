//! One score a choice, cross-entropy over the choices. input_ids are [batch, choices, time].

use athanor_store::{Error, Result};
use athanor_tensor::ops;

use super::{Call, HeadKind, losses};

pub const HEAD: HeadKind =
    HeadKind { choices: true, ..HeadKind::new("multiple-choice", "ForMultipleChoice", forward) };

fn forward(call: &mut Call<'_>) -> Result<()> {
    call.scores(0);
    let scores = call.withdraw("logits");
    let choices = call.choices;
    let batch = scores.value().len() / choices.max(1);
    let logits = ops::reshape(&scores, [batch, choices]);
    if let Some(labels) = call.given.classes("labels", &[batch], choices)? {
        let count = labels.iter().flatten().count();
        if count == 0 {
            return Err(Error::input("no label counts: all are -100").at("tensor labels"));
        }
        call.loss = Some(losses::choice(&logits, &labels, &vec![1.0 / count as f32; batch]));
    }
    call.give("logits", logits);
    Ok(())
}
