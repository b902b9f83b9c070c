//! What optimisers and accounts ask of parameters.

use athanor_tensor::Param;

use super::Model;
use crate::{
    parameter::{Parameter, Role},
    sizes::Sizes,
};

impl Model {
    /// Place and role of the parameter at `index`.
    ///
    /// # Panics
    /// If there is none.
    pub fn parameter(&self, index: usize) -> Parameter {
        self.parameters[index]
    }

    /// All parameters in order, with place and role.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = (&Param, Parameter)> {
        self.params.iter().zip(self.parameters.iter().copied())
    }

    /// Lets those parameters learn that `learns` names, and no others: the others have no gradient.
    pub fn set_trainable(&mut self, learns: impl Fn(Parameter) -> bool) {
        for (p, known) in self.params.iter_mut().zip(&self.parameters) {
            p.trainable = learns(*known);
        }
    }

    /// Whether the parameter at `index` is a table that is looked up.
    pub fn is_embedding(&self, index: usize) -> bool {
        self.parameter(index).role == Role::Embedding
    }

    /// Whether the parameter at `index` is a matrix between hidden layers: neither embedding nor head.
    pub fn is_hidden_matrix(&self, index: usize) -> bool {
        let matrix = self.params.iter().nth(index).is_some_and(|p| p.value.shape().len() == 2);
        matrix && !matches!(self.parameter(index).role, Role::Embedding | Role::Output)
    }

    /// How far up the parameter at `index` is: see [`Parameter::depth`].
    pub fn depth(&self, index: usize) -> usize {
        self.parameter(index).depth(self.sizes().layers)
    }

    /// Floating-point operations of one training step per token at a context of `time`: 6 for each
    /// parameter of a matrix product, and causal attention (PaLM, Chowdhery et al. 2022, appendix B).
    pub fn flops_per_token(&self, time: usize) -> f64 {
        let Sizes { vocabulary, hidden, layers, heads, head_dim, .. } = self.sizes();
        let matrices: usize = self
            .parameters()
            .filter(|(p, known)| known.role != Role::Embedding && p.value.shape().len() >= 2)
            .map(|(p, _)| p.value.len())
            .sum();
        let tied = self.head.vocabulary().is_some_and(|stack| stack.tied());
        let output = if tied { vocabulary * hidden } else { 0 };
        6.0 * (matrices + output) as f64 + 6.0 * (layers * heads * head_dim * time) as f64
    }
}
