//! Bradley and Terry 1952: a person prefers text i to text j with probability σ(r_i - r_j). Ouyang et al. 2022, eq. 1,
//! is its negative log-likelihood.
//!
//! Departure: the target of a pair is not 1 but the share p of raters that would prefer the first, so the loss is
//! -p·ln σ(r_i - r_j) - (1-p)·ln σ(r_j - r_i): near ties teach that there is nothing to choose.

use athanor_tensor::{Tensor, Var, ops};

/// The loss of `differences` of rewards, [pairs, 1], summed over the pairs. `targets` are the shares p, [pairs].
pub(crate) fn loss(differences: &Var, targets: &[f32]) -> Var {
    let device = differences.value().device();
    let constant = |f: fn(f32) -> f32| {
        let values: Vec<f32> = targets.iter().map(|&p| f(p)).collect();
        Var::constant(Tensor::from_slice(device, &values, [values.len(), 1]))
    };
    let first = ops::mul(&constant(|p| p), &ops::log_sigmoid(differences));
    let second = ops::mul(&constant(|p| 1.0 - p), &ops::log_sigmoid(&ops::neg(differences)));
    ops::neg(&ops::sum(&ops::add(&first, &second)))
}

/// The loss of a pair with p = 1, in f64: what a held-out pair costs.
pub(crate) fn of_margin(difference: f64) -> f64 {
    (1.0 + (-difference).exp()).ln()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use athanor_tensor::{Device, Grads, Tape};
    use serde_json::Value;

    use super::*;

    /// What float32 may differ from TRL's float64, relative to numbers above 1.
    const BOUND: f32 = 1e-6;

    fn list(value: &Value) -> Vec<f32> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
    }

    fn close(found: &[f32], expected: &[f32], what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((a - b).abs() <= BOUND * b.abs().max(1.0), "{what}, {i}: {a} and {b}");
        }
    }

    /// The mean loss of pairs and its gradients by chosen and rejected rewards.
    fn run(case: &Value, targets: &[f32], swap: bool) -> (f32, [Vec<f32>; 2]) {
        let column = |values: &[f32]| Tensor::from_slice(Device::Cpu, values, [values.len(), 1]);
        let tape = Tape::new();
        let rewards = ["chosen", "rejected"].map(|name| tape.leaf(column(&list(&case[name]))));
        let [first, second] =
            if swap { [&rewards[1], &rewards[0]] } else { [&rewards[0], &rewards[1]] };
        let mut differences = ops::sub(first, second);
        if let Some(margins) = case.get("margin").filter(|m| !m.is_null()) {
            differences = ops::sub(&differences, &Var::constant(column(&list(margins))));
        }
        let loss = ops::scale(&loss(&differences, targets), 1.0 / targets.len() as f32);
        let mut grads = Grads::new();
        tape.backward(&loss, &mut grads);
        (loss.value().item(), rewards.map(|leaf| grads.take(&leaf).unwrap().to_vec()))
    }

    #[test]
    fn loss_and_gradients_are_those_of_trl() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/rl.json");
        let all: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let cases = all["bradley_terry"].as_array().unwrap();
        assert_eq!(cases.len(), 2, "without margins and with them");
        for case in cases {
            let pairs = list(&case["chosen"]).len();
            let (loss, grads) = run(case, &vec![1.0; pairs], false);
            close(&[loss], &[case["loss"].as_f64().unwrap() as f32], "loss");
            close(&grads[0], &list(&case["grad_chosen"]), "chosen");
            close(&grads[1], &list(&case["grad_rejected"]), "rejected");
        }
        // The same pairs the other way round with p = 0 (margins are of the chosen text, so without them).
        let (case, pairs) = (&cases[0], list(&cases[0]["chosen"]).len());
        let (loss, grads) = run(case, &vec![0.0; pairs], true);
        close(&[loss], &[case["loss"].as_f64().unwrap() as f32], "swapped");
        close(&grads[0], &list(&case["grad_chosen"]), "swapped");
        let of_margins: f64 = list(&case["chosen"])
            .iter()
            .zip(list(&case["rejected"]))
            .map(|(a, b)| of_margin(f64::from(a - b)))
            .sum();
        close(&[(of_margins / pairs as f64) as f32], &[loss], "in f64");
    }

    #[test]
    fn soft_targets_pull_to_the_raters_share() {
        // The gradient of a pair is σ(difference) - p: 0 where the model is as sure as the raters.
        let tape = Tape::new();
        let p = 0.8f32;
        let sure = (p / (1.0 - p)).ln();
        let difference = tape.leaf(Tensor::from_slice(Device::Cpu, &[sure, 0.0], [2, 1]));
        let loss = loss(&difference, &[p, p]);
        let mut grads = Grads::new();
        tape.backward(&loss, &mut grads);
        close(&grads.take(&difference).unwrap().to_vec(), &[0.0, 0.5 - p], "gradient");
    }
}
