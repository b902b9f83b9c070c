//! AdamW: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2.

use athanor_store::{Check, Choice, OwnKeys, Problem, section};
use athanor_tensor::{
    Tensor,
    ops::{self, AdamW},
};

use super::{OptimizerKind, Rule, StepInfo};
use crate::checks::{below_one, not_negative};

section! {
    /// AdamW.
    pub struct AdamWSection {
        /// Decay of the mean gradient.
        beta1: f64 = 0.9,
        /// Decay of the mean squared gradient.
        beta2: f64 = 0.95,
        /// Added to the root of the mean squared gradient.
        epsilon: f64 = 1e-8,
    }
}

impl Check for AdamWSection {
    fn check(&self) -> Result<(), Problem> {
        not_negative([("epsilon", self.epsilon)])?;
        below_one([("beta1", self.beta1), ("beta2", self.beta2)])
    }
}

/// The optimiser's line in the registry.
pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "adamw",
    about: "Adam with decoupled weight decay",
    keys: OwnKeys::of::<AdamWSection>(),
    learning_rate: 1e-3,
    rule: |choice, _, _| rule(choice),
};

/// A parameter by AdamW.
pub(super) fn rule(choice: &Choice<OptimizerKind>) -> Box<dyn Rule> {
    let keys: AdamWSection = choice.own_of(OPTIMIZER.name);
    Box::new(AdamWRule {
        beta1: keys.beta1 as f32,
        beta2: keys.beta2 as f32,
        epsilon: keys.epsilon as f32,
    })
}

struct AdamWRule {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

impl Rule for AdamWRule {
    fn state(&self) -> &'static [&'static str] {
        &["mean", "mean_square"]
    }

    fn update(&self, p: &mut Tensor, gradient: &Tensor, state: &mut [Tensor], step: StepInfo) {
        let settings = AdamW {
            learning_rate: step.learning_rate as f32,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            weight_decay: step.weight_decay as f32,
            grad_scale: step.grad_scale as f32,
        };
        if let [mean, mean_square] = state {
            ops::adamw(p, gradient, mean, mean_square, settings, step.updates + 1);
        }
    }
}
