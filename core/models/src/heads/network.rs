//! A head with its parameters: from hidden states to scores and losses.

use athanor_store::Result;
use athanor_tensor::{Graph, Ids, Tensor, Var, ops};

use super::{
    Head, Readout, Variant, Width,
    stack::{Built, DropFn},
};
use crate::{architecture::Architecture, builder::Builder, config::Fields, layers::Linear};

/// A head over a trunk.
pub(crate) struct HeadNetwork {
    head: Head,
    stacks: Vec<Built>,
}

impl HeadNetwork {
    /// Declares its parameters over a trunk that is declared already.
    pub fn build(
        head: Head,
        variant: &Variant,
        trunk: &dyn Architecture,
        fields: Fields<'_>,
        b: &mut Builder,
    ) -> Result<Self> {
        let mut stacks = Vec::new();
        for stack in variant.stacks {
            // A trunk without scores is whole without its pooler.
            if stack.out.is_none() && !stack.is_in(b) {
                continue;
            }
            stacks.push(Built::new(*stack, head.labels(), trunk, fields, b)?);
        }
        Ok(Self { head, stacks })
    }

    /// Which head it is.
    pub fn head(&self) -> Head {
        self.head
    }

    /// From hidden states to an output each.
    pub fn stacks(&self) -> &[Built] {
        &self.stacks
    }

    /// The first stack, if it ends in scores over the vocabulary.
    pub fn vocabulary(&self) -> Option<&Built> {
        let first = self.stacks.first()?;
        (first.spec.out?.width == Width::Vocabulary).then_some(first)
    }

    /// Whether a stack reads these hidden states.
    pub fn reads(&self, readout: Readout) -> bool {
        self.stacks.iter().any(|s| s.spec.readout == readout)
    }

    /// The scores [.., width] of stack `i` of hidden states [.., hidden], or these where there is no such stack;
    /// `drop` is the pass's dropout.
    pub fn scores(&self, graph: &Graph<'_>, i: usize, hidden: &Var, drop: DropFn<'_>) -> Var {
        let Some(stack) = self.stacks.get(i) else { return hidden.clone() };
        stack.project(graph, &stack.features(graph, hidden, drop))
    }

    /// The map of stack `i` to its scores; the fused losses take its weights.
    ///
    /// # Panics
    /// If the stack has no scores.
    pub fn out(&self, i: usize) -> &Linear {
        match self.stacks[i].out() {
            Some(out) => out,
            None => panic!("{:?} has no scores to learn from", self.head),
        }
    }

    /// Σ weights[r] · -log p(targets[r]) of features [rows, width] of stack `i`, and each row's log-probability. Whole
    /// logits never exist.
    ///
    /// # Panics
    /// If the sizes do not fit or the stack has no scores.
    pub fn loss(
        &self,
        graph: &Graph<'_>,
        i: usize,
        features: &Var,
        (targets, weights): (&Ids, &[f32]),
    ) -> (Var, Tensor) {
        let out = self.out(i);
        let (w, b) = (out.weight(graph), out.bias(graph));
        ops::linear_bias_cross_entropy(features, &w, b.as_ref(), targets, weights)
    }

    /// The hidden states that stack `i` reads, as rows [n, hidden] of hidden states [batch, time, hidden]: every
    /// token's, or one of each row of `ids` [batch, time]. `pad` is the token that pads.
    ///
    /// # Panics
    /// If there is no such stack.
    pub fn pick(&self, i: usize, hidden: &Var, ids: &[i32], pad: Option<u32>) -> Var {
        let (batch, time) = (hidden.shape()[0], hidden.shape()[1]);
        let at = |place: &dyn Fn(usize) -> usize| {
            rows(hidden, (0..batch).map(|b| (b * time + place(b)) as i32).collect())
        };
        match self.stacks[i].spec.readout {
            Readout::Every => ops::reshape(hidden, [batch * time, hidden.shape()[2]]),
            Readout::First => at(&|_| 0),
            Readout::Last => at(&|_| time - 1),
            Readout::LastToken => {
                let pad = pad.map(|p| p as i32);
                at(&|b| {
                    let row = &ids[b * time..(b + 1) * time];
                    // A row of nothing but padding is read at its first place, as in transformers.
                    pad.map_or(time - 1, |pad| row.iter().rposition(|&i| i != pad).unwrap_or(0))
                })
            }
        }
    }
}

/// Rows `places` of `x` [.., width], flattened to [n, width].
pub(crate) fn rows(x: &Var, places: Vec<i32>) -> Var {
    let width = x.shape()[x.shape().len() - 1];
    let flat = ops::reshape(x, [x.value().len() / width, width]);
    let count = places.len();
    ops::embedding(&flat, &Ids::new(x.value().device(), places, [count]))
}
