//! Next-token logits. The labels are the input ids; the token at t is predicted from t - 1.

use athanor_store::{Error, Result};

use super::{Call, Kind};

pub const HEAD: Kind = Kind {
    name: "causal-lm",
    suffix: "ForCausalLM",
    standard: None,
    labelled: false,
    labels: &["labels"],
    choices: false,
    gaps: false,
    forward,
};

fn forward(call: &mut Call<'_>) -> Result<()> {
    let features = call.scores(0);
    let ([batch, time], vocabulary) = (call.places(), call.model.sizes().vocabulary);
    let Some(labels) = call.given.classes("labels", &[batch, time], vocabulary)? else {
        return Ok(());
    };
    let targets = (0..batch * time)
        .filter(|i| i % time != 0)
        .filter_map(|i| Some((i - 1, labels[i]?)))
        .collect::<Vec<_>>();
    if targets.is_empty() {
        return Err(
            Error::input("no label counts: all are -100 or first in their row").at("tensor labels")
        );
    }
    call.loss = Some(call.cross_entropy(0, &features, targets));
    Ok(())
}
