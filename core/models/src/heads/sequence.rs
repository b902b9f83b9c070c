//! Scores of a whole text. config.json's `problem_type` names the loss; without it one label means
//! regression (mean square error), integers mean classes (cross-entropy) and floats several labels at
//! once (binary cross-entropy), as in transformers.

use athanor_store::{Error, Result};

use super::{Call, HeadKind, call::mean, losses};
use crate::config::Fields;

pub const HEAD: HeadKind =
    HeadKind { labelled: true, ..HeadKind::new("sequence", "ForSequenceClassification", forward) };

fn forward(call: &mut Call<'_>) -> Result<()> {
    let features = call.scores(0);
    let ([batch, _], count) = (call.places(), call.head.head().labels());
    let kind = match Fields(call.config).text("problem_type", "")? {
        "" if count == 1 => "regression",
        "" if call.given.is_float("labels") => "multi_label_classification",
        "" => "single_label_classification",
        given => given,
    };
    call.loss = match kind {
        "single_label_classification" => match call.given.classes("labels", &[batch], count)? {
            Some(labels) => Some(call.mean_cross_entropy(0, &features, labels, "labels")?),
            None => None,
        },
        "regression" | "multi_label_classification" => {
            let shapes: [&[usize]; 2] = [&[batch, count], &[batch]];
            let shapes = if count == 1 { &shapes[..] } else { &shapes[..1] };
            match call.given.numbers("labels", shapes)? {
                Some(labels) => {
                    let (x, weights) = (call.output("logits"), mean(batch));
                    Some(match kind {
                        "regression" => losses::square_error(&x, &labels, &weights),
                        _ => losses::several_labels(&x, &labels, &weights),
                    })
                }
                None => None,
            }
        }
        other => {
            return Err(Error::input(format!("unknown `problem_type` {other:?} in config.json"))
                .hint(
                    "known: regression, single_label_classification, multi_label_classification",
                ));
        }
    };
    Ok(())
}
