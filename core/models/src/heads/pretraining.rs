//! BERT's pretraining head: masked tokens and next sentence; the loss is the sum of both means
//! (Devlin et al. 2019, appendix A.2).

use athanor_store::{Error, Result};
use athanor_tensor::ops;

use super::{Call, HeadKind};

pub const HEAD: HeadKind = HeadKind {
    labels: &["labels", "next_sentence_label"],
    gaps: true,
    ..HeadKind::new("pretraining", "ForPreTraining", forward)
};

fn forward(call: &mut Call<'_>) -> Result<()> {
    let (tokens, pairs) = (call.scores(0), call.scores(1));
    let (places, vocabulary) = (call.places(), call.vocabulary);
    let labels = call.given.classes("labels", &places, vocabulary)?;
    let next = call.given.classes("next_sentence_label", &places[..1], 2)?;
    call.loss = match (labels, next) {
        (None, None) => None,
        (Some(labels), Some(next)) => Some(ops::add(
            &call.mean_cross_entropy(0, &tokens, labels, "labels")?,
            &call.mean_cross_entropy(1, &pairs, next, "next_sentence_label")?,
        )),
        _ => {
            return Err(Error::input(
                "the pretraining loss needs both `labels` and `next_sentence_label`",
            ));
        }
    };
    Ok(())
}
