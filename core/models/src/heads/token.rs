//! Scores of each token: names in a text, parts of speech.

use athanor_store::Result;

use super::{Call, HeadKind, Layer, Readout, Stack, Width};

pub const HEAD: HeadKind = HeadKind {
    name: "token",
    suffix: "ForTokenClassification",
    standard: Some(&[Stack::new(
        Readout::Every,
        &[Layer::Drop],
        "classifier.weight",
        "classifier.bias",
        Width::Labels,
    )]),
    file: None,
    labelled: true,
    labels: &["labels"],
    choices: false,
    gaps: false,
    forward,
};

fn forward(call: &mut Call<'_>) -> Result<()> {
    let features = call.scores(0);
    let (places, count) = (call.places(), call.head.head().labels());
    if let Some(labels) = call.given.classes("labels", &places, count)? {
        call.loss = Some(call.mean_cross_entropy(0, &features, labels, "labels")?);
    }
    Ok(())
}
