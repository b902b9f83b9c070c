//! Scores of a whole text. config.json's `problem_type` names the loss; without it one label means
//! regression (mean square error), integers mean classes (cross-entropy) and floats several labels at
//! once (binary cross-entropy), as in transformers.

use athanor_store::{Error, Result};
use athanor_tensor::{Tensor, Var, ops};

use super::{Call, Kind};
use crate::config::Fields;

pub const HEAD: Kind = Kind {
    name: "sequence",
    suffix: "ForSequenceClassification",
    standard: None,
    labelled: true,
    labels: &["labels"],
    choices: false,
    gaps: false,
    forward,
};

fn forward(call: &mut Call<'_>) -> Result<()> {
    let features = call.scores(0);
    let ([batch, _], count) = (call.places(), call.model.head().labels());
    let model = call.model;
    let kind = match Fields(&model.config).text("problem_type", "")? {
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
                    let y = Tensor::from_slice(model.device(), &labels, [batch, count]);
                    let (x, y) = (call.output("logits"), Var::constant(y));
                    Some(if kind == "regression" {
                        ops::mean(&ops::square(&ops::sub(&x, &y)))
                    } else {
                        binary_cross_entropy(&x, &y)
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

/// Mean of -y·ln σ(x) - (1 - y)·ln σ(-x).
pub(crate) fn binary_cross_entropy(x: &Var, y: &Var) -> Var {
    let yes = ops::mul(y, &ops::log_sigmoid(x));
    let no = ops::mul(&ops::add_scalar(&ops::neg(y), 1.0), &ops::log_sigmoid(&ops::neg(x)));
    ops::neg(&ops::mean(&ops::add(&yes, &no)))
}
