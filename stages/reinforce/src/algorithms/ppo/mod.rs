//! Proximal policy optimisation for language models: Schulman et al. 2017 (PPO), as Ziegler et al.
//! 2019, "Fine-tuning language models from human preferences", and Stiennon et al. 2020 use it. Of
//! Huang et al. 2024, "The N implementation details of RLHF with PPO", these are in:
//!
//! - reward and value heads read the state before (value) and after (reward) a token; the reward
//!   comes at the answer's last token, the KL penalty -β(ln π - ln π_ref) at each (detail 1.1–1.3);
//! - rewards are shifted and scaled so that the first policy's have mean 0 and deviation 1 (1.4);
//! - padding is never read, and tokens after the end of the answer count nowhere (2.1, 2.3);
//! - an answer that does not end gets a fixed low reward (2.4, the rejection of Ziegler et al.);
//! - the same temperature while writing and while learning (3.2);
//! - adaptive β: proportional control of the KL per answer, error cut to ±0.2 (Ziegler et al., 2.2);
//! - GAE (Schulman et al. 2016), advantages whitened over the iteration's tokens (4.4);
//! - clipped ratio, clipped values, value loss ½·max of both (4.5), several epochs of minibatches
//!   over shuffled answers, the learning rate going down linearly where the recipe says so;
//! - no dropout; Adam's ε as the recipe says (1e-5 in the original); value head begins at 0.
//!
//! Departures: policy and value share a trunk (as in Ziegler et al., not Stiennon et al.); an
//! answer ends with a token of its own, not at a full stop after at least 16 tokens; advantages are
//! whitened over the iteration, not over each minibatch; gradients are clipped where the recipe says
//! so (the original does not clip).

mod section;

use athanor_store::{
    OwnKeys,
    figures::{CLIP_FRACTION, EXPLAINED_VARIANCE, Logged, POLICY_LOSS, VALUE_LOSS},
};
use athanor_tensor::{Var, ops};
use athanor_training::Figures;
use serde_json::{Value, json};

use super::{Algorithm, Method, Minibatch, Needs, Online, PolicyLoss, Rollouts, ValueTargets};
use crate::{
    advantages::{Advantages, explained_variance, gae, token_rewards, whiten},
    rollout::TokenLogProbs,
};

use section::PpoSection;

athanor_store::figures! {
    /// What a nat of KL costs in reward, as the algorithm steers it; summary.json has it as it is at the end.
    BETA = "beta", "KL coefficient", "", Neither;
}

/// The algorithm's line in the registry.
pub(super) const ALGORITHM: Algorithm = Algorithm {
    name: "ppo",
    about: "proximal policy optimisation, with values and a steered penalty",
    keys: OwnKeys::of::<PpoSection>(),
    logged: Logged {
        train: &[&POLICY_LOSS, &VALUE_LOSS, &CLIP_FRACTION, &EXPLAINED_VARIANCE, &BETA],
        eval: &[],
        eval_also: &[],
    },
    open: |choice| {
        let keys: PpoSection = choice.own();
        Method::Online(Box::new(Ppo { beta: keys.kl.coefficient, keys }))
    },
};

struct Ppo {
    keys: PpoSection,
    /// Coefficient of the penalty for leaving the reference.
    beta: f64,
}

impl Online for Ppo {
    fn needs(&self) -> Needs {
        Needs { values: true, reference: true, group: 1, epochs: self.keys.epochs }
    }

    fn advantages(&self, r: &Rollouts) -> (Advantages, Figures) {
        let rewards = token_rewards(&r.episodes, &r.policy, &r.reference, &r.scores, self.beta);
        let mut all = gae(&rewards, &r.policy.values, self.keys.gamma, self.keys.lambda);
        if self.keys.whiten_advantages {
            whiten(&mut all.advantages);
        }
        let explained = explained_variance(&all.returns, &r.policy.values);
        (all, vec![(EXPLAINED_VARIANCE.name, explained)])
    }

    /// The clipped surrogate objective (Schulman et al. 2017, eq. 7) and the clipped value loss, as means
    /// over the tokens of an update.
    fn loss(&self, now: &TokenLogProbs, batch: &Minibatch) -> PolicyLoss {
        let keys = &self.keys;
        let share = 1.0 / batch.update.tokens.max(1) as f32;
        let mean = |x: &Var| ops::scale(&ops::sum(x), share);

        // -min(ratio·A, clip(ratio)·A)
        let clip = keys.clip as f32;
        let ratio = ops::exp(&ops::sub(&now.log_probs, &batch.old_log_probs));
        let plain = ops::mul(&ratio, &batch.advantages);
        let clipped = ops::mul(&ops::clamp(&ratio, 1.0 - clip, 1.0 + clip), &batch.advantages);
        let policy_loss = ops::neg(&mean(&ops::minimum(&plain, &clipped)));

        let value_loss = match (&now.values, &batch.values) {
            (Some(values), Some(targets)) => mean(&value_error(values, targets, keys.value_clip)),
            _ => Var::constant(ops::scale(&policy_loss, 0.0).value().clone()),
        };

        let loss = ops::add(&policy_loss, &ops::scale(&value_loss, keys.value_coefficient as f32));
        let outside = ratio.value().to_vec().iter().filter(|r| (**r - 1.0).abs() > clip).count();
        let figures = vec![
            (POLICY_LOSS.name, f64::from(policy_loss.value().item())),
            (VALUE_LOSS.name, f64::from(value_loss.value().item())),
            (CLIP_FRACTION.name, outside as f64 / batch.update.tokens.max(1) as f64),
        ];
        PolicyLoss { loss, figures }
    }

    /// Proportional control of the penalty (Ziegler et al. 2019, section 2.2).
    fn after(&mut self, kl: f64, episodes: usize) {
        let control = &self.keys.kl;
        if control.target > 0.0 {
            let error = (kl / control.target - 1.0).clamp(-0.2, 0.2);
            self.beta *= 1.0 + error * episodes as f64 / control.horizon;
        }
    }

    fn steered(&self) -> Figures {
        vec![(BETA.name, self.beta)]
    }

    fn state(&self) -> Value {
        json!({ "beta": self.beta })
    }

    fn restore(&mut self, state: &Value) {
        self.beta = state["beta"].as_f64().unwrap_or(self.beta);
    }
}

/// ½·max((V - R)², (V_clipped - R)²), V_clipped within `clip` of the old value.
fn value_error(values: &Var, targets: &ValueTargets, clip: f64) -> Var {
    let (bound, old) = (clip as f32, &targets.old);
    let near = ops::add(old, &ops::clamp(&ops::sub(values, old), -bound, bound));
    let error = |v: &Var| ops::square(&ops::sub(v, &targets.returns));
    ops::scale(&ops::maximum(&error(values), &error(&near)), 0.5)
}

#[cfg(test)]
mod tests;
