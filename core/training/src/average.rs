//! Exponential moving average of weights: Polyak and Juditsky 1992; the decay grows from the first
//! step on as in TensorFlow's, so that early averages are not stuck at the beginning.

use athanor_models::Model;
use athanor_store::{Array, Result};
use athanor_tensor::{Tensor, ops};

use crate::optimizers::restore_tensor;

/// The average of every parameter, in their order.
pub(crate) struct Average {
    decay: f64,
    values: Vec<Tensor>,
}

impl Average {
    /// Begins at the model's weights; `None` for a decay of 0.
    pub fn new(decay: f64, model: &Model) -> Option<Self> {
        let values = model.params.iter().map(|p| p.value.clone()).collect();
        (decay > 0.0).then_some(Self { decay, values })
    }

    /// Takes in the weights after an update; `updates` counts those before it.
    pub fn update(&mut self, model: &Model, updates: u64) {
        let keep = self.decay.min((1.0 + updates as f64) / (10.0 + updates as f64));
        for (average, p) in self.values.iter_mut().zip(model.params.iter()) {
            ops::weighted_sum_in_place(average, keep as f32, &p.value, (1.0 - keep) as f32);
        }
    }

    /// Exchanges the model's weights and the average; twice is nothing.
    pub fn swap(&mut self, model: &mut Model) {
        for (average, p) in self.values.iter_mut().zip(model.params.iter_mut()) {
            std::mem::swap(average, &mut p.value);
        }
    }

    /// (name, average), for a checkpoint.
    pub fn tensors<'a>(&'a self, model: &'a Model) -> Vec<(String, &'a Tensor)> {
        model.params.iter().zip(&self.values).map(|(p, t)| (p.name.clone(), t)).collect()
    }

    /// Takes the average from a checkpoint.
    ///
    /// # Errors
    /// Input, for a tensor that is missing or has another shape.
    pub fn restore(&mut self, model: &Model, arrays: Vec<Array>) -> Result<()> {
        let mut by_name: std::collections::HashMap<String, Array> =
            arrays.into_iter().map(|a| (a.name.clone(), a)).collect();
        for (average, p) in self.values.iter_mut().zip(model.params.iter()) {
            *average = restore_tensor(by_name.remove(&p.name), &p.name, &p.value)?;
        }
        Ok(())
    }
}
