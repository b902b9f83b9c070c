//! What is learned: the contract between a supervised task and [`fit`](crate::fit()).

use athanor_models::{Dropout, Model};
use athanor_store::{Array, Result};
use athanor_tensor::{Graph, Tensor, Var};
use serde_json::{Value, json};

use crate::record::Sample;

/// One forward and backward pass.
pub struct MicroBatch<B> {
    /// What the task made of the data.
    pub batch: B,
    /// How much it counts: targets, or pairs. The loss is divided by the sum over the step's
    /// micro-batches, so accumulation does not change the mean.
    pub weight: f64,
    /// Tokens that pass through the model.
    pub tokens: usize,
}

/// A forward pass to be made.
#[derive(Clone, Copy)]
pub struct Forward<'a> {
    /// The model.
    pub model: &'a Model,
    /// What records the pass, bound to the model's parameters.
    pub graph: &'a Graph<'a>,
    /// Dropout; none where nothing is learned.
    pub dropout: Option<Dropout>,
}

/// A loss and further figures of a batch.
pub struct Loss {
    /// Sum over the batch, divided by the `total` that the task was given.
    pub loss: Var,
    /// Further figures, summed over micro-batches.
    pub figures: Figures,
}

/// Figures by name.
pub type Figures = Vec<(&'static str, f64)>;

/// What is being learned.
pub trait Task {
    /// What [`Task::loss`] needs of the data.
    type Batch;

    /// The micro-batches of a step; they depend on the step alone.
    ///
    /// # Errors
    /// Those of reading data.
    fn batches(&mut self, step: u64) -> Result<Vec<MicroBatch<Self::Batch>>>;

    /// The loss of a micro-batch, `total` being the weight of all of the step's.
    ///
    /// # Errors
    /// Those of the task.
    fn loss(&self, forward: Forward<'_>, batch: &Self::Batch, total: f64) -> Result<Loss>;

    /// Figures on held-out data, the first of which is the loss that early stopping watches; none
    /// without held-out data.
    ///
    /// # Errors
    /// Those of the task.
    fn evaluate(&mut self, model: &Model) -> Result<Figures>;

    /// Texts that show what the model can do by now.
    ///
    /// # Errors
    /// Those of generation.
    fn sample(&mut self, _model: &Model) -> Result<Vec<Sample>> {
        Ok(Vec::new())
    }

    /// Tokens of a row, for the count of operations.
    fn time(&self, model: &Model) -> usize {
        model.sizes().context
    }

    /// What a checkpoint has to hold beside weights and optimiser: tensors by name.
    fn tensors(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    /// Takes back what [`tensors`](Self::tensors) gave to the checkpoint that a run goes on from.
    ///
    /// # Errors
    /// Input, for tensors that are not the task's.
    fn restore(&mut self, _arrays: Vec<Array>, _model: &Model) -> Result<()> {
        Ok(())
    }

    /// Forgets the batches so far: they were only planned.
    fn forget(&mut self) {}

    /// Where in the data a step begins, for the checkpoint's reader.
    fn cursor(&self, step: u64) -> Value {
        json!({ "step": step })
    }
}
