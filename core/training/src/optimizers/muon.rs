//! Muon: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". The
//! momentum's update is replaced by the nearest semi-orthogonal matrix.
//!
//! Departure: the update is scaled by 0.2·sqrt(max(rows, columns)), as in Liu et al. 2025, "Muon is
//! scalable for LLM training", eq. 4, which gives it the size of AdamW's, so both share one
//! learning rate and one weight decay.

use athanor_store::{Check, OwnKeys, Problem, section};
use athanor_tensor::{Tensor, ops};

use super::{OptimizerKind, Rule, StepInfo, adamw};
use crate::checks::below_one;

section! {
    /// Muon; what is no hidden matrix learns by AdamW, with the keys of adamw.
    pub struct MuonSection {
        /// Momentum.
        momentum: f64 = 0.95,
    }
}

impl Check for MuonSection {
    fn check(&self) -> Result<(), Problem> {
        below_one([("momentum", self.momentum)])
    }
}

/// The optimiser's line in the registry.
pub(super) const OPTIMIZER: OptimizerKind = OptimizerKind {
    name: "muon",
    about: "hidden matrices by Muon, the rest by AdamW",
    keys: OwnKeys::of::<MuonSection>(),
    learning_rate: 7e-3,
    rule: |choice, model, index| match model.is_hidden_matrix(index) {
        true => {
            let MuonSection { momentum } = choice.own_of(OPTIMIZER.name);
            Box::new(Muon { momentum: momentum as f32 })
        }
        false => adamw::rule(choice),
    },
};

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
