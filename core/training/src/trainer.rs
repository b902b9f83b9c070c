//! A model on its way through a stage: updates by the updater, everything that is written by the stage run.

use athanor_models::{Dropout, HostTensors, Model};
use athanor_store::{Array, ArrayRef, Checkpoint, Error, Result};
use athanor_tensor::{GradSet, Params, Rng, Tensor};
use serde_json::{Value, json};

use crate::{
    expected::Expected,
    optimizers::restore_tensor,
    record::Sample,
    section::TrainSection,
    stage_run::{StageContext, StageRun},
    updater::{Update, Updater},
};

/// Updates withheld in a row after which a run stops.
const MAX_WITHHELD: u64 = 3;

/// The file of a checkpoint that holds what a task needs beside weights and optimiser.
const TASK: &str = "task";

/// The state of a training run.
pub struct Trainer<'c> {
    /// The stage at work.
    pub context: &'c StageContext<'c>,
    /// The model.
    pub model: Model,
    section: TrainSection,
    updater: Updater,
    run: StageRun<'c>,
    /// What the task wants in a checkpoint, and what it had there.
    tensors: Vec<(String, Tensor)>,
    arrays: Vec<Array>,
    memory: Option<Expected>,
}

impl<'c> Trainer<'c> {
    /// Begins, or goes on from the newest good checkpoint. `steps` are those of the progress bar;
    /// `updates` those of the schedule, which differ where a step makes several.
    ///
    /// # Errors
    /// Those of reading checkpoints and writing metrics.
    pub fn open(
        context: &'c StageContext<'c>,
        section: &TrainSection,
        mut model: Model,
        steps: u64,
        updates: u64,
    ) -> Result<Self> {
        let (run, found) = StageRun::open(context, section, steps)?;
        let mut updater = Updater::new(section, &mut model, updates, context.communicator.clone())?;
        let mut arrays = Vec::new();
        if let Some(mut checkpoint) = found {
            if checkpoint.files.iter().any(|(name, _)| name == TASK) {
                arrays = checkpoint.take(TASK)?;
            }
            restore(checkpoint, &mut model, &mut updater)?;
        }
        // The same seed, or the same checkpoint, gives every process these weights; this makes it certain.
        context.communicator.broadcast(&mut model.params)?;
        let section = section.clone();
        let tensors = Vec::new();
        Ok(Self { context, model, section, updater, run, tensors, arrays, memory: None })
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.run.step
    }

    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.run.steps
    }

    /// Tokens trained on.
    pub fn tokens(&self) -> u64 {
        self.run.tokens
    }

    /// Updates withheld for loss or gradients that were not finite.
    pub fn withheld(&self) -> u64 {
        self.updater.withheld
    }

    /// Seconds of work, all sessions together.
    pub fn seconds(&self) -> f64 {
        self.run.seconds()
    }

    /// What the stage last gave to [`Trainer::end_step`]; null at the beginning.
    pub fn state(&self) -> &Value {
        &self.run.state
    }

    /// What the next checkpoint holds for the task.
    pub(crate) fn keep(&mut self, tensors: Vec<(String, Tensor)>) {
        self.tensors = tensors;
    }

    /// What the checkpoint held for the task.
    pub(crate) fn take_arrays(&mut self) -> Vec<Array> {
        std::mem::take(&mut self.arrays)
    }

    /// The settings.
    pub fn section(&self) -> &TrainSection {
        &self.section
    }

    /// A stream of random numbers of this run's seed, this stage and a name.
    pub fn rng(&self, name: &str) -> Rng {
        self.context.rng(name)
    }

    /// Dropout for a micro-batch of this step.
    pub fn dropout(&self, micro: u64) -> Option<Dropout> {
        let probability = self.section.dropout as f32;
        (probability > 0.0)
            .then(|| Dropout { probability, rng: self.rng("dropout").at(self.step()).at(micro) })
    }

    /// Sums gradients and figures over the processes, the loss being the first figure; then clips and applies the
    /// gradients. Where loss or gradient is not finite the update is withheld and counted.
    ///
    /// # Errors
    /// Failed, when three updates in a row were withheld; the last good checkpoint stays.
    pub fn update(&mut self, grads: &mut GradSet, figures: &mut [f64]) -> Result<Update> {
        let update = self.updater.update(&mut self.model, grads, figures)?;
        if update.applied {
            return Ok(update);
        }
        let (step, in_a_row) = (self.step() + 1, self.updater.withheld_in_a_row);
        self.context.run.console.warn(&format!(
            "step {step}: loss {}, gradient norm {}: update withheld ({in_a_row} in a row)",
            update.loss, update.grad_norm
        ));
        if in_a_row < MAX_WITHHELD {
            return Ok(update);
        }
        self.run.flush()?;
        let name = self.context.folder.name();
        let kept = match self.run.checkpoints.list()?.last() {
            Some((step, _)) => format!("the checkpoint of step {step} is intact"),
            None => "there was no checkpoint yet".into(),
        };
        Err(Error::failed(format!("loss or gradient was not finite {MAX_WITHHELD} times in a row"))
            .at(format!("{name}, step {step}"))
            .hint(format!(
                "lower {name}.train.learning_rate or raise {name}.train.schedule.warmup_steps, and look \
                 at the data; with --force the stage begins anew, {kept}"
            )))
    }

    pub(crate) fn set_memory(&mut self, memory: Expected) {
        self.memory = Some(memory);
    }

    /// What was expected of the memory before the first step.
    pub fn memory(&self) -> Option<Expected> {
        self.memory
    }

    /// The memory of an update, on a plan of the parameters.
    pub fn plan_update(&self, params: &mut Params, grads: &GradSet) {
        self.updater.plan(params, grads);
    }

    /// Counts tokens and operations for the rates.
    pub fn count(&mut self, tokens: u64, flops: f64) {
        self.run.count(tokens, flops);
    }

    /// Tokens and floating-point operations per second since the last call.
    pub fn rates(&mut self) -> (f64, f64) {
        self.run.rates()
    }

    /// Starts the rates anew, so that evaluation and sampling do not count against them.
    pub fn reset_rates(&mut self) {
        self.run.reset_rates();
    }

    /// Writes figures to metrics.jsonl and TensorBoard, under the number of steps done.
    ///
    /// # Errors
    /// Those of writing.
    pub fn record(&mut self, kind: &str, values: &[(&str, f64)]) -> Result<()> {
        self.record_at(kind, self.step(), values)
    }

    /// Writes figures of step `step`: within a step, that which is about to end.
    ///
    /// # Errors
    /// Those of writing.
    pub fn record_at(&mut self, kind: &str, step: u64, values: &[(&str, f64)]) -> Result<()> {
        self.run.record(kind, step, values)
    }

    /// Writes samples, under the number of steps done.
    ///
    /// # Errors
    /// Those of writing.
    pub fn sample(&mut self, samples: &[Sample]) -> Result<()> {
        self.sample_at(self.step(), samples)
    }

    /// Writes samples of step `step`: within a step, that which is about to end.
    ///
    /// # Errors
    /// Those of writing.
    pub fn sample_at(&mut self, step: u64, samples: &[Sample]) -> Result<()> {
        self.run.sample(step, samples)
    }

    /// The text behind the progress bar.
    pub fn message(&self, text: &str) {
        self.run.message(text);
    }

    /// Ends a step: writes a checkpoint if one is due, and leaves if the user wants to stop. `state`
    /// is what the stage needs, beside weights and optimiser, to go on.
    ///
    /// # Errors
    /// Interrupted, after a checkpoint; those of writing.
    pub fn end_step(&mut self, state: Value) -> Result<()> {
        let (save, stop) = self.run.end_step(state, self.updater.withheld_in_a_row == 0);
        if save {
            self.save()?;
        }
        if stop { Err(self.run.stopped()) } else { Ok(()) }
    }

    /// Exchanges the weights and their average, where the recipe keeps one; twice is nothing.
    pub(crate) fn swap_average(&mut self) {
        self.updater.swap_average(&mut self.model);
    }

    /// Makes the average the model's weights for good.
    pub(crate) fn settle_average(&mut self) {
        self.updater.settle_average(&mut self.model);
    }

    /// Writes a checkpoint now; of several processes the first one does.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&mut self) -> Result<()> {
        if !self.context.is_first() {
            return Ok(());
        }
        let lines = self.run.sync()?;
        let mut state = self.run.checkpoint_state(lines);
        state["updates"] = json!(self.updater.updates());
        state["withheld"] = json!(self.updater.withheld);
        state["withheld_in_a_row"] = json!(self.updater.withheld_in_a_row);
        let weights = self.model.params.iter().map(|p| (p.name.clone(), &p.value));
        let mut files = vec![("weights", HostTensors::new(weights))];
        files.extend(self.updater.files(&self.model));
        if !self.tensors.is_empty() {
            let tensors = self.tensors.iter().map(|(name, t)| (name.clone(), t));
            files.push((TASK, HostTensors::new(tensors)));
        }
        let views: Vec<(&str, Vec<ArrayRef<'_>>)> =
            files.iter().map(|(name, tensors)| (*name, tensors.arrays())).collect();
        let views: Vec<(&str, &[ArrayRef<'_>])> = views.iter().map(|(n, v)| (*n, &v[..])).collect();
        self.run.checkpoints.save(self.run.step, &views, &state)?;
        self.run.saved();
        Ok(())
    }

    /// Closes the bar and the metrics and gives the model back.
    ///
    /// # Errors
    /// Those of writing.
    pub fn close(self, text: &str) -> Result<Model> {
        self.run.close(text)?;
        Ok(self.model)
    }
}

fn restore(mut checkpoint: Checkpoint, model: &mut Model, updater: &mut Updater) -> Result<()> {
    let weights = checkpoint.take("weights")?;
    restore_weights(model, weights)?;
    let number = |key: &str| checkpoint.state[key].as_u64().unwrap_or(0);
    updater.withheld = number("withheld");
    updater.withheld_in_a_row = number("withheld_in_a_row");
    let updates = number("updates");
    updater.restore(model, updates, |name| checkpoint.take(name))
}

/// Puts saved weights into a model.
///
/// # Errors
/// Input, for one that is missing or has another shape.
pub(crate) fn restore_weights(model: &mut Model, arrays: Vec<Array>) -> Result<()> {
    let mut by_name: std::collections::HashMap<String, Array> =
        arrays.into_iter().map(|a| (a.name.clone(), a)).collect();
    for p in model.params.iter_mut() {
        p.value = restore_tensor(by_name.remove(&p.name), &p.name, &p.value)?;
    }
    Ok(())
}
