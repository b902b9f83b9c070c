//! Scores of each token: names in a text, parts of speech.

use athanor_store::Result;

use super::{Call, HeadKind, Layer, Readout, Stack, Width};

pub const HEAD: HeadKind = HeadKind {
    standard: Some(&[Stack::new(
        Readout::Every,
        &[Layer::Drop],
        "classifier.weight",
        "classifier.bias",
        Width::Labels,
    )]),
    labelled: true,
    ..HeadKind::new("token", "ForTokenClassification", forward)
};

fn forward(call: &mut Call<'_>) -> Result<()> {
    let features = call.scores(0);
    let (places, count) = (call.places(), call.head.head().labels());
    if let Some(labels) = call.given.classes("labels", &places, count)? {
        call.loss = Some(call.mean_cross_entropy(0, &features, labels, "labels")?);
    }
    Ok(())
}
