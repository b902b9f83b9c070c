//! Does the second text follow the first? 0 says yes, 1 no. Devlin et al. 2019, section 3.1.

use athanor_store::Result;

use super::{Call, HeadKind};

pub const HEAD: HeadKind = HeadKind::new("next-sentence", "ForNextSentencePrediction", forward);

fn forward(call: &mut Call<'_>) -> Result<()> {
    let features = call.scores(0);
    let [batch, _] = call.places();
    if let Some(labels) = call.given.classes("labels", &[batch], 2)? {
        call.loss = Some(call.mean_cross_entropy(0, &features, labels, "labels")?);
    }
    Ok(())
}
