//! AdamW: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2.

use athanor_models::Model;
use athanor_tensor::{
    Tensor,
    ops::{self, AdamW},
};

use super::{Rule, StepInfo};
use crate::section::TrainSection;

/// Every parameter by AdamW.
pub(super) fn rule(section: &TrainSection, _: &Model, _: usize) -> Box<dyn Rule> {
    Box::new(AdamWRule::new(section))
}

struct AdamWRule {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

impl AdamWRule {
    fn new(section: &TrainSection) -> Self {
        Self {
            beta1: section.beta1 as f32,
            beta2: section.beta2 as f32,
            epsilon: section.epsilon as f32,
        }
    }
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
