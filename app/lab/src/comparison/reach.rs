//! Time to quality: when each model's held-out loss is as low as another's at its end.

use std::path::Path;

use athanor_store::{Error, Result, read_jsonl};
use serde_json::{Value, json};

/// One evaluation on held-out data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Evaluation {
    /// Seconds of training: the steps so far, each as long as the run's median step.
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
    let rows = read_jsonl(&path)?;
    let pace = pace(&rows);
    let all: Vec<Evaluation> = rows.iter().filter_map(|row| evaluation(row, pace)).collect();
    match all.is_empty() {
        true => Err(Error::input("no evaluation is in it").at(path.display())),
        false => Ok(all),
    }
}

/// Seconds of the median step: other work of the machine, and a stop in between, do not count.
fn pace(rows: &[Value]) -> Option<f64> {
    let of = |row: &Value, key: &str| row.get(key)?.as_f64();
    let trained: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "train").collect();
    let pairs = trained.windows(2);
    let mut all: Vec<f64> = pairs
        .filter_map(|pair| {
            let more = |key: &str| Some(of(pair[1], key)? - of(pair[0], key)?);
            let seconds = more("tokens")? / of(pair[1], "tokens_per_second")? / more("step")?;
            (seconds.is_finite() && seconds > 0.0).then_some(seconds)
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// An evaluation, its time by `pace`, or else by the clock.
fn evaluation(row: &Value, pace: Option<f64>) -> Option<Evaluation> {
    let of = |key: &str| row.get(key)?.as_f64();
    let (step, loss) = (of("step")?, of("loss")?);
    let value =
        Evaluation { seconds: pace.map_or(of("seconds"), |pace| Some(pace * step))?, step, loss };
    (row["kind"] == "eval").then_some(value)
}

/// Each seed's first evaluation that is no worse than the last of the yardstick with that seed, and by what
/// factor it came sooner or later than that one: `{"loss", "seconds", "steps", "share"}`, or null.
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
        assert_eq!(evaluation(&row, None), None);
    }

    #[test]
    fn time_is_that_of_the_median_step() {
        let train = |step: u64, rate: f64| json!({ "kind": "train", "step": step, "tokens": 100 * step, "tokens_per_second": rate });
        // Every second step is logged; one was held up, one ran alone.
        let mut rows: Vec<Value> = [(2, 50.0), (4, 50.0), (6, 1.0), (8, 50.0), (10, 90.0)]
            .map(|(s, r)| train(s, r))
            .into();
        assert_eq!(pace(&rows), Some(2.0));
        let eval = json!({ "kind": "eval", "step": 10, "seconds": 300.0, "loss": 2.5 });
        let read = |pace| evaluation(&eval, pace).map(|e| e.seconds);
        assert_eq!((read(Some(2.0)), read(None)), (Some(20.0), Some(300.0)));
        rows.truncate(1);
        assert_eq!(pace(&rows), None);
    }
}
