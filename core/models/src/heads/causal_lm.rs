//! Next-token logits. The labels are the input ids; the token at t is predicted from t - 1.

use athanor_store::{Error, Result};

use super::{Call, HeadKind, losses::Classes};

pub const HEAD: HeadKind = HeadKind::new("causal-lm", "ForCausalLM", forward);

fn forward(call: &mut Call<'_>) -> Result<()> {
    let features = call.scores(0);
    let ([batch, time], vocabulary) = (call.places(), call.vocabulary);
    let Some(labels) = call.given.classes("labels", &[batch, time], vocabulary)? else {
        return Ok(());
    };
    // The row's last place predicts nothing.
    let next = |i: usize| if (i + 1).is_multiple_of(time) { None } else { labels[i + 1] };
    let targets = Classes::of((0..batch * time).map(next));
    if targets.is_empty() {
        return Err(
            Error::input("no label counts: all are -100 or first in their row").at("tensor labels")
        );
    }
    call.loss = Some(call.cross_entropy(0, &features, targets));
    Ok(())
}
