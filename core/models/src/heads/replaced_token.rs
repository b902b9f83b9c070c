//! Was this token replaced? ELECTRA's discriminator: a score for each token, 1 for a replaced one, and
//! the mean binary cross-entropy over what is not padding (Clark et al. 2020, section 2).

use athanor_store::{Error, Result};
use athanor_tensor::ops;

use super::{Call, HeadKind, losses};

pub const HEAD: HeadKind = HeadKind::new("replaced-token", "ForPreTraining", forward);

fn forward(call: &mut Call<'_>) -> Result<()> {
    call.scores(0);
    let scores = call.withdraw("logits");
    let [batch, time] = call.places();
    if let Some(labels) = call.given.like("labels", &[batch, time], 2)? {
        let seen = |i: &usize| call.mask.as_ref().is_none_or(|m| m[*i] != 0);
        let rows: Vec<usize> = (0..batch * time).filter(seen).collect();
        if rows.is_empty() {
            return Err(Error::input("attention_mask is 0 everywhere, so no label counts"));
        }
        let replaced: Vec<bool> = rows.iter().map(|&i| labels[i] == 1).collect();
        let places = rows.into_iter().map(|i| i as i32).collect();
        let picked = super::rows(&ops::reshape(&scores, [batch * time, 1]), places);
        let sum = losses::yes_or_no(&picked, &replaced);
        call.loss = Some(ops::scale(&sum, 1.0 / replaced.len() as f32));
    }
    call.give("logits", ops::reshape(&scores, [batch, time]));
    Ok(())
}
