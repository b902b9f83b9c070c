//! Was this token replaced? ELECTRA's discriminator: a score for each token, 1 for a replaced one, and
//! the mean binary cross-entropy over what is not padding (Clark et al. 2020, section 2).

use athanor_store::{Error, Result};
use athanor_tensor::{Ids, Tensor, Var, ops};

use super::{Call, Kind, sequence::binary_cross_entropy};

pub const HEAD: Kind = Kind {
    name: "replaced-token",
    suffix: "ForPreTraining",
    standard: None,
    labelled: false,
    labels: &["labels"],
    choices: false,
    gaps: false,
    forward,
};

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
        let device = call.model.device();
        let count = rows.len();
        let wanted: Vec<f32> = rows.iter().map(|&i| labels[i] as f32).collect();
        let ids = Ids::new(device, rows.into_iter().map(|i| i as i32).collect(), [count]);
        let picked = ops::embedding(&ops::reshape(&scores, [batch * time, 1]), &ids);
        let wanted = Var::constant(Tensor::from_slice(device, &wanted, [count, 1]));
        call.loss = Some(binary_cross_entropy(&picked, &wanted));
    }
    call.give("logits", ops::reshape(&scores, [batch, time]));
    Ok(())
}
