//! Time to quality: when each model's held-out loss is as low as another's at its end.

use std::path::Path;

use athanor_store::{Error, Result, read_jsonl};
use serde_json::{Value, json};

/// One evaluation on held-out data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Evaluation {
    /// Seconds of training, evaluations included.
    pub seconds: f64,
    /// Optimiser steps.
    pub step: f64,
    /// Nats a token.
    pub loss: f64,
}

/// A pretraining's evaluations, from its metrics.jsonl.
///
/// # Errors
/// Input: the file cannot be read or holds no evaluation.
pub(super) fn curve(run: &Path) -> Result<Vec<Evaluation>> {
    let path = run.join("pretrain/metrics.jsonl");
    let all: Vec<Evaluation> = read_jsonl(&path)?.iter().filter_map(evaluation).collect();
    match all.is_empty() {
        true => Err(Error::input("no evaluation is in it").at(path.display())),
        false => Ok(all),
    }
}

fn evaluation(row: &Value) -> Option<Evaluation> {
    let of = |key: &str| row.get(key)?.as_f64();
    let value = Evaluation { seconds: of("seconds")?, step: of("step")?, loss: of("loss")? };
    (row["kind"] == "eval").then_some(value)
}

/// Each seed's first evaluation that is no worse than the last of the yardstick with that seed, and by what
/// factor it came sooner or later than that one: `{"loss", "seconds", "steps", "share"}`, null where it
/// never came.
pub(super) fn reached(own: &[Vec<Evaluation>], yardstick: &[Vec<Evaluation>]) -> Vec<Value> {
    let seeds = own.iter().zip(yardstick);
    seeds
        .map(|(own, yardstick)| {
            let Some(aim) = yardstick.last() else { return Value::Null };
            let found = match own == yardstick {
                true => Some(aim),
                false => own.iter().find(|e| e.loss <= aim.loss),
            };
            found.map_or(Value::Null, |e| {
                let share = e.seconds / aim.seconds;
                json!({ "loss": aim.loss, "seconds": e.seconds, "steps": e.step, "share": share })
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_no_worse() {
        let curve = |losses: &[f64], pace: f64| -> Vec<Evaluation> {
            let all = losses.iter().enumerate();
            all.map(|(i, &loss)| {
                let step = (i * 100) as f64;
                Evaluation { seconds: pace * step, step, loss }
            })
            .collect()
        };
        // The yardstick was better for a moment; its time is that of its end.
        let slow = curve(&[8.0, 5.0, 3.9, 4.0], 1.0);
        let quick = curve(&[8.0, 4.0, 3.5], 1.5);
        let poor = curve(&[8.0, 6.0, 5.0], 1.0);
        let all = reached(&[slow.clone(), quick, poor], &[slow.clone(), slow.clone(), slow]);
        assert_eq!(all[0]["share"], 1.0);
        assert_eq!(all[1], json!({ "loss": 4.0, "seconds": 150.0, "steps": 100.0, "share": 0.5 }));
        assert_eq!(all[2], Value::Null);
        let row = json!({ "kind": "train", "step": 1, "seconds": 1.0, "loss": 2.0 });
        assert_eq!(evaluation(&row), None);
    }
}
