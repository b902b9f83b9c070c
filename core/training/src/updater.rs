//! From gradients to changed parameters: summed over processes, guarded, clipped, applied, averaged.

use std::sync::Arc;

use athanor_models::{HostTensors, Model};
use athanor_store::{Array, Result};
use athanor_tensor::{GradSet, Params, ops};

use crate::{
    average::Average,
    optimizers::Optimizer,
    parallel::Communicator,
    section::{OptimizerSection, TrainSection},
};

/// The outcome of an update.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// The step's loss, summed over processes.
    pub loss: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// False if loss or gradient was not finite and the update was withheld.
    pub applied: bool,
}

/// The optimiser of a recipe for a model.
///
/// # Errors
/// Input, for keys that fit no parameter.
pub fn optimizer(section: &TrainSection, model: &Model) -> Result<Optimizer> {
    let groups = section.learns.groups(model)?;
    let OptimizerSection { name, weight_decay } = &section.optimizer;
    Optimizer::new(name, *weight_decay, &groups, model)
}

/// Optimiser, schedule, average of the weights, and the guard against what is not finite.
pub(crate) struct Updater {
    section: TrainSection,
    optimizer: Optimizer,
    average: Option<Average>,
    communicator: Arc<dyn Communicator>,
    /// Updates of the whole run, for the schedule.
    planned: u64,
    /// Updates withheld.
    pub withheld: u64,
    /// Updates withheld one after the other, up to now.
    pub withheld_in_a_row: u64,
}

impl Updater {
    /// Fresh state for a model. Parameters that do not learn become constants of its passes, so that no
    /// gradient below the lowest one that learns is computed.
    ///
    /// # Errors
    /// Input, for keys that fit no parameter.
    pub fn new(
        section: &TrainSection,
        model: &mut Model,
        planned: u64,
        communicator: Arc<dyn Communicator>,
    ) -> Result<Self> {
        section.learns.groups(model)?.set_trainable(&mut model.params);
        Ok(Self {
            section: section.clone(),
            optimizer: optimizer(section, model)?,
            average: Average::new(section.average, model),
            communicator,
            planned,
            withheld: 0,
            withheld_in_a_row: 0,
        })
    }

    /// Sums gradients and figures over the processes, `loss` being the first figure; then clips and applies the
    /// gradients. Where loss or gradient is not finite the update is withheld and counted.
    ///
    /// # Errors
    /// Those of the communicator.
    pub fn update(
        &mut self,
        model: &mut Model,
        grads: &mut GradSet,
        figures: &mut [f64],
    ) -> Result<Update> {
        self.communicator.sum(grads, figures)?;
        let loss = figures.first().copied().unwrap_or_default();
        let (schedule, peak) = (&self.section.schedule, self.section.peak_learning_rate());
        let learning_rate = schedule.learning_rate(peak, self.optimizer.updates(), self.planned);
        let grad_norm = grads.iter().map(|(_, g)| ops::sum_squares(g)).sum::<f64>().sqrt();
        let applied = loss.is_finite() && grad_norm.is_finite();
        if applied {
            let clip = self.section.clip;
            let scale =
                if clip > 0.0 && grad_norm > clip { clip / (grad_norm + 1e-6) } else { 1.0 };
            self.optimizer.update(model, grads, learning_rate, scale);
            if let Some(average) = &mut self.average {
                average.update(model, self.optimizer.updates() - 1);
            }
            self.withheld_in_a_row = 0;
        } else {
            self.withheld += 1;
            self.withheld_in_a_row += 1;
        }
        Ok(Update { loss, grad_norm, learning_rate, applied })
    }

    /// Updates done.
    pub fn updates(&self) -> u64 {
        self.optimizer.updates()
    }

    /// An update of planned parameters, for the memory that it takes.
    pub fn plan(&self, params: &mut Params, grads: &GradSet) {
        self.optimizer.plan(params, grads);
    }

    /// Exchanges the weights and their average, where the recipe keeps one; twice is nothing.
    pub fn swap_average(&mut self, model: &mut Model) {
        if let Some(average) = &mut self.average {
            average.swap(model);
        }
    }

    /// Makes the average the model's weights for good.
    pub fn settle_average(&mut self, model: &mut Model) {
        self.swap_average(model);
        self.average = None;
    }

    /// The files of a checkpoint: the optimiser's state, and the average where there is one.
    pub fn files<'a>(&'a self, model: &'a Model) -> Vec<(&'static str, HostTensors)> {
        let mut files = vec![("optimizer", HostTensors::new(self.optimizer.tensors(model)))];
        let average = self.average.as_ref().map(|a| a.tensors(model));
        files.extend(average.map(|a| ("average", HostTensors::new(a))));
        files
    }

    /// Takes back what [`files`](Self::files) gave; `take` reads one of them.
    ///
    /// # Errors
    /// Input, for a tensor that is missing or has another shape.
    pub fn restore(
        &mut self,
        model: &Model,
        updates: u64,
        mut take: impl FnMut(&str) -> Result<Vec<Array>>,
    ) -> Result<()> {
        self.optimizer.restore(model, take("optimizer")?, updates)?;
        match &mut self.average {
            Some(average) => average.restore(model, take("average")?),
            None => Ok(()),
        }
    }
}
