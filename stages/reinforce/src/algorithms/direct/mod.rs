//! Direct methods: the policy learns from fixed comparisons of answers, and writes nothing meanwhile. A method is a
//! loss over pairs; [`task`] makes a supervised task of it.

pub(super) mod dpo;
pub(crate) mod task;

use athanor_tensor::Var;

/// Pairs of answers by what policy and reference say of them. Variables are [pairs]: sums of the log-probabilities of
/// an answer's tokens.
pub(crate) struct Pairs {
    pub chosen: Var,
    pub rejected: Var,
    pub reference_chosen: Var,
    pub reference_rejected: Var,
    /// Tokens of the answers, chosen and rejected.
    pub lengths: [Vec<usize>; 2],
}

/// A method that learns from pairs.
pub(crate) trait Direct {
    /// The loss of each pair: [pairs].
    fn losses(&self, pairs: &Pairs) -> Var;

    /// What the reward that the policy implies is in: its log-probability ratio times this (β of the paper).
    fn beta(&self) -> f64;
}
