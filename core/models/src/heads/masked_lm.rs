//! Logits of every token; the labels of the masked ones count. Devlin et al. 2019, section 3.1.

use athanor_store::Result;

use super::{Call, HeadKind};

pub const HEAD: HeadKind =
    HeadKind { gaps: true, ..HeadKind::new("masked-lm", "ForMaskedLM", forward) };

fn forward(call: &mut Call<'_>) -> Result<()> {
    token_labels(call)
}

/// Mean cross-entropy of the places with a label that counts.
pub(super) fn token_labels(call: &mut Call<'_>) -> Result<()> {
    let features = call.scores(0);
    let (places, vocabulary) = (call.places(), call.vocabulary);
    if let Some(labels) = call.given.classes("labels", &places, vocabulary)? {
        call.loss = Some(call.mean_cross_entropy(0, &features, labels, "labels")?);
    }
    Ok(())
}
