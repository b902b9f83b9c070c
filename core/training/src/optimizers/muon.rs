//! Muon: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". The
//! momentum's update is replaced by the nearest semi-orthogonal matrix.
//!
//! Departure: the update is scaled by 0.2·sqrt(max(rows, columns)), as in Liu et al. 2025, "Muon is
//! scalable for LLM training", eq. 4, which gives it the size of AdamW's, so both share one
//! learning rate and one weight decay.

use athanor_models::Model;
use athanor_tensor::{Tensor, ops};

use super::{Rule, StepInfo, adamw};
use crate::section::TrainSection;

/// Hidden matrices by Muon, the rest by AdamW.
pub(super) fn rule(section: &TrainSection, model: &Model, index: usize) -> Box<dyn Rule> {
    if model.is_hidden_matrix(index) {
        return Box::new(Muon { momentum: section.momentum as f32 });
    }
    adamw::rule(section, model, index)
}

struct Muon {
    momentum: f32,
}

impl Rule for Muon {
    fn state(&self) -> &'static [&'static str] {
        &["momentum"]
    }

    fn update(&self, p: &mut Tensor, gradient: &Tensor, state: &mut [Tensor], step: StepInfo) {
        let (Some(momentum), &[rows, columns]) = (state.first_mut(), &p.shape()[..]) else {
            return;
        };
        let ahead = ops::nesterov(momentum, gradient, self.momentum, step.grad_scale as f32);
        let direction = ops::newton_schulz(&ahead, step.among);
        let size = 0.2 * (rows.max(columns) as f64).sqrt();
        let keep = 1.0 - step.learning_rate * step.weight_decay;
        ops::weighted_sum_in_place(p, keep as f32, &direction, -(step.learning_rate * size) as f32);
    }
}
