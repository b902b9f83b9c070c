//! Direct preference optimisation: Rafailov et al. 2023, eq. 7, and losses of the same margin. With
//! h = β[(ln π(chosen) - ln π_ref(chosen)) - (ln π(rejected) - ln π_ref(rejected))], the loss of a pair is
//!
//! - `sigmoid`: -ln σ(h);
//! - `hinge`: max(0, 1 - h), Zhao et al. 2023, "SLiC-HF", with the reference as in DPO;
//! - `ipo`: (m - 1/2β)², m being the margin of the means over the tokens of each answer: Azar et al. 2024, eq. 17; the
//!   mean is TRL's, the paper has sums;
//! - `robust`: (-(1 - ε) ln σ(h) + ε ln σ(-h)) / (1 - 2ε), ε being `label_smoothing`: Chowdhury et al. 2024, eq. 12.
//!
//! Metrics: loss, accuracy (share of pairs whose chosen answer the policy prefers more than the reference does),
//! margin (mean h).

use athanor_store::{
    Check, OwnKeys, Problem,
    figures::{ACCURACY, Logged, MARGIN},
    section,
};
use athanor_tensor::{Tensor, Var, ops};

use super::{Direct, Pairs};
use crate::algorithms::{Algorithm, Method};

section! {
    /// Direct preference optimisation. Defaults are TRL's.
    pub struct DpoSection {
        /// How much the reference holds: the coefficient of the divergence from it.
        beta: f64 = 0.1,
        /// The loss of a pair: sigmoid, hinge, ipo, robust.
        loss_type: String = "sigmoid".into(),
        /// For robust: the share of pairs whose order is wrong.
        label_smoothing: f64 = 0.0,
    }
}

impl Check for DpoSection {
    fn check(&self) -> Result<(), Problem> {
        let known = ["sigmoid", "hinge", "ipo", "robust"];
        Problem::unless_one_of("loss_type", &self.loss_type, &known)?;
        Problem::unless(self.beta > 0.0 && self.beta.is_finite(), "beta", "must be above 0")?;
        let share = (0.0..0.5).contains(&self.label_smoothing);
        Problem::unless(share, "label_smoothing", "must be 0 or more and below 0.5")?;
        let robust = self.label_smoothing == 0.0 || self.loss_type == "robust";
        Problem::unless(
            robust,
            "label_smoothing",
            format!("has no meaning for loss_type = {:?}", self.loss_type),
        )
    }
}

/// The algorithm's line in the registry.
pub(in crate::algorithms) const ALGORITHM: Algorithm = Algorithm {
    name: "dpo",
    about: "direct preference optimisation, from fixed comparisons",
    keys: OwnKeys::of::<DpoSection>(),
    logged: Logged { train: &[&ACCURACY, &MARGIN], eval: &[&ACCURACY, &MARGIN], eval_also: &[] },
    open: |choice| Method::Direct(Box::new(Dpo { keys: choice.own() })),
};

struct Dpo {
    keys: DpoSection,
}

impl Direct for Dpo {
    fn losses(&self, pairs: &Pairs) -> Var {
        let beta = self.keys.beta as f32;
        let chosen = ops::sub(&pairs.chosen, &pairs.reference_chosen);
        let rejected = ops::sub(&pairs.rejected, &pairs.reference_rejected);
        let h = ops::scale(&ops::sub(&chosen, &rejected), beta);
        match self.keys.loss_type.as_str() {
            "hinge" => {
                let slack = ops::add_scalar(&ops::neg(&h), 1.0);
                let zero = Var::constant(ops::scale(&slack, 0.0).value().clone());
                ops::maximum(&slack, &zero)
            }
            "ipo" => {
                let [of_chosen, of_rejected] = &pairs.lengths;
                let margin = ops::sub(&mean(&chosen, of_chosen), &mean(&rejected, of_rejected));
                ops::square(&ops::add_scalar(&margin, -0.5 / beta))
            }
            "robust" => {
                let share = self.keys.label_smoothing as f32;
                let right = ops::scale(&ops::log_sigmoid(&h), -(1.0 - share));
                let wrong = ops::scale(&ops::log_sigmoid(&ops::neg(&h)), share);
                ops::scale(&ops::add(&right, &wrong), 1.0 / (1.0 - 2.0 * share))
            }
            _ => ops::neg(&ops::log_sigmoid(&h)),
        }
    }

    fn beta(&self) -> f64 {
        self.keys.beta
    }
}

/// Sums over tokens as means.
fn mean(sums: &Var, lengths: &[usize]) -> Var {
    let shares: Vec<f32> = lengths.iter().map(|&n| 1.0 / n.max(1) as f32).collect();
    let device = sums.value().device();
    ops::mul(sums, &Var::constant(Tensor::from_slice(device, &shares, [shares.len()])))
}

#[cfg(test)]
mod tests {
    use athanor_tensor::Tape;

    use super::*;
    use crate::algorithms::{
        direct::task::sum_by_episode,
        fixtures::{cases, close, constant, flat, gradients, rows},
    };

    /// What float32 may differ from TRL's float64.
    const BOUND: f32 = 1e-6;

    #[test]
    fn losses_and_gradients_are_those_of_trl() {
        for case in cases("dpo") {
            let dpo = Dpo {
                keys: DpoSection {
                    beta: case["beta"].as_f64().unwrap(),
                    loss_type: case["loss_type"].as_str().unwrap().into(),
                    label_smoothing: case["label_smoothing"].as_f64().unwrap(),
                },
            };
            let of = |name: &str| rows(&case[name]);
            let (chosen, rejected) = (of("chosen_log_probs"), of("rejected_log_probs"));
            let lengths = [&chosen, &rejected].map(|x| x.iter().map(Vec::len).collect::<Vec<_>>());
            let tape = Tape::new();
            let leaves = [tape.leaf(flat(&chosen)), tape.leaf(flat(&rejected))];
            let pairs = Pairs {
                chosen: sum_by_episode(&leaves[0], &lengths[0]),
                rejected: sum_by_episode(&leaves[1], &lengths[1]),
                reference_chosen: sum_by_episode(
                    &constant(&of("reference_chosen_log_probs")),
                    &lengths[0],
                ),
                reference_rejected: sum_by_episode(
                    &constant(&of("reference_rejected_log_probs")),
                    &lengths[1],
                ),
                lengths,
            };
            let loss = ops::mean(&dpo.losses(&pairs));
            let what = case["loss_type"].as_str().unwrap();
            close(&[loss.value().item()], &[case["loss"].as_f64().unwrap() as f32], BOUND, what);
            let grads = gradients(&tape, &loss, [&leaves[0], &leaves[1]]);
            close(&grads[0], &of("grad_chosen_log_probs").concat(), BOUND, what);
            close(&grads[1], &of("grad_rejected_log_probs").concat(), BOUND, what);
        }
    }
}
