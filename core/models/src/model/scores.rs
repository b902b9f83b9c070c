//! From hidden states to scores, losses and values.

use athanor_tensor::{Graph, Ids, Tensor, Var, ops};

use super::Model;
use crate::heads::{self, DropFn, Head, HeadNetwork};

impl Model {
    /// The head's layers and scores.
    pub(crate) fn head_network(&self) -> &HeadNetwork {
        &self.head
    }

    /// The output embedding [vocabulary, hidden], for the fused losses of heads without layers of their
    /// own; [`token_loss`](Self::token_loss) works for all.
    pub fn output(&self, graph: &Graph<'_>) -> Var {
        match self.head.vocabulary() {
            Some(_) => self.head.out(0).weight(graph),
            None => graph.param(self.network.embeddings()[0]),
        }
    }

    /// The head's first scores of hidden states [.., hidden]: logits over the vocabulary
    /// [.., vocabulary], or as many as there are labels. Hidden states where the head has no scores.
    pub fn logits(&self, graph: &Graph<'_>, hidden: &Var) -> Var {
        self.scores_of(graph, 0, hidden, &mut |x| x)
    }

    /// The scores of stack `i` (BERT's pretraining head has two: tokens, next sentence) of hidden states
    /// [.., hidden]; `drop` is the pass's dropout.
    pub fn scores_of(&self, graph: &Graph<'_>, i: usize, hidden: &Var, drop: DropFn<'_>) -> Var {
        self.head.scores(graph, i, hidden, drop)
    }

    /// Σ weights[i] · -log p(targets[i]) under the head's first scores of hidden states [rows, hidden],
    /// and each row's log-probability. Whole logits never exist.
    ///
    /// # Panics
    /// If the sizes do not fit or the head has no scores.
    pub fn token_loss(
        &self,
        graph: &Graph<'_>,
        rows: &Var,
        targets: &Ids,
        weights: &[f32],
    ) -> (Var, Tensor) {
        self.dropped_loss(graph, 0, rows, targets, weights, &mut |x| x)
    }

    /// [`token_loss`](Self::token_loss) under the scores of stack `i`, with the head's own dropout; `drop` is the pass's.
    ///
    /// # Panics
    /// If the sizes do not fit or there is no such stack.
    pub fn dropped_loss(
        &self,
        graph: &Graph<'_>,
        i: usize,
        rows: &Var,
        targets: &Ids,
        weights: &[f32],
        drop: DropFn<'_>,
    ) -> (Var, Tensor) {
        let features = self.head.stacks()[i].features(graph, rows, drop);
        self.head.loss(graph, i, &features, (targets, weights))
    }

    /// The hidden states that stack `i` reads, as rows [n, hidden]: every token's, or one of each row of
    /// `ids` [batch, time].
    ///
    /// # Panics
    /// If there is no such stack.
    pub fn pick(&self, i: usize, hidden: &Var, ids: &[i32]) -> Var {
        self.head.pick(i, hidden, ids, self.token("pad_token_id"))
    }

    /// Values [rows] of hidden states [rows, hidden].
    ///
    /// # Panics
    /// If no [`Head::VALUE`] was added.
    pub fn values(&self, graph: &Graph<'_>, hidden: &Var) -> Var {
        let Some(head) = self.beside.iter().find(|h| h.head() == Head::VALUE) else {
            panic!("values: this model has no value head")
        };
        let values = head.scores(graph, 0, hidden, &mut |x| x);
        ops::reshape(&values, [values.value().len()])
    }

    /// Row `rows[i]` of hidden states [batch, time, hidden] flattened to [batch·time, hidden].
    pub fn rows(&self, hidden: &Var, rows: Vec<i32>) -> Var {
        heads::rows(hidden, rows)
    }
}
