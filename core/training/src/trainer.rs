//! Parameters on their way: updates, guard, metrics, checkpoints, interruption, resume.

use std::time::Instant;

use athanor_models::{Dropout, HostTensors, Model};
use athanor_store::{
    Array, ArrayRef, Bar, Checkpoint, Checkpoints, Error, Fingerprint, Result, Run, StageFolder,
};
use athanor_tensor::{GradSet, Params, Rng, Tensor, ops};
use serde_json::{Value, json};

use crate::{
    average::Average,
    memory::Expected,
    optimizers::{Optimizer, restore_tensor},
    record::{Recorder, Sample},
    schedule,
    section::TrainSection,
};

/// Updates withheld in a row after which a run stops.
const MOST_WITHHELD: u64 = 3;

/// The file of a checkpoint that holds what a task needs beside weights and optimiser.
const TASK: &str = "task";

/// A stage at work: its run, its folder, and what its result is made from.
pub struct StageContext<'r> {
    /// The run.
    pub run: &'r Run,
    /// The stage's folder.
    pub folder: StageFolder,
    /// What decides the result.
    pub fingerprint: Fingerprint,
}

impl<'r> StageContext<'r> {
    /// Opens the stage `name`; `None` if its work is done already.
    ///
    /// # Errors
    /// Those of [`StageFolder::is_done`].
    pub fn open(run: &'r Run, name: &str, fingerprint: Fingerprint) -> Result<Option<Self>> {
        let folder = run.stage(name);
        if folder.is_done(&fingerprint)? {
            run.console.say(&format!("{name}: done already ({})", folder.dir().display()));
            return Ok(None);
        }
        Ok(Some(Self { run, folder, fingerprint }))
    }
}

/// What came of an update.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// False if loss or gradient was not finite and the update was withheld.
    pub applied: bool,
}

/// The state of a training run.
pub struct Trainer<'c> {
    /// The stage at work.
    pub context: &'c StageContext<'c>,
    /// The model.
    pub model: Model,
    section: TrainSection,
    optimizer: Optimizer,
    average: Option<Average>,
    checkpoints: Checkpoints,
    recorder: Recorder,
    bar: Box<dyn Bar>,
    step: u64,
    steps: u64,
    updates_planned: u64,
    tokens: u64,
    withheld: u64,
    withheld_in_a_row: u64,
    seconds_before: f64,
    started: Instant,
    saved: Instant,
    state: Value,
    /// What the task wants in a checkpoint, and what it had there.
    tensors: Vec<(String, Tensor)>,
    arrays: Vec<Array>,
    rate: Rate,
    memory: Option<Expected>,
}

/// Tokens and operations per second since the last look.
struct Rate {
    since: Instant,
    tokens: u64,
    flops: f64,
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
        model: Model,
        steps: u64,
        updates: u64,
    ) -> Result<Self> {
        let console = &context.run.console;
        let checkpoints =
            Checkpoints::new(&context.folder.path("checkpoints"), section.keep_checkpoints);
        let (found, warnings) = checkpoints.latest_with_warnings()?;
        for warning in warnings {
            console.warn(&warning);
        }
        let mut model = model;
        let mut optimizer = Optimizer::new(section, &model);
        let mut average = Average::new(section.average, &model);
        let mut state = json!({});
        let mut arrays = Vec::new();
        let step = match found {
            Some(mut checkpoint) => {
                let step = checkpoint.step;
                if checkpoint.files.iter().any(|(name, _)| name == TASK) {
                    arrays = checkpoint.take(TASK)?;
                }
                state = restore(checkpoint, &mut model, &mut optimizer, average.as_mut())?;
                console.say(&format!("{}: going on from step {step}", context.folder.name()));
                step
            }
            None => 0,
        };
        let number = |key: &str| state[key].as_u64().unwrap_or(0);
        let now = Instant::now();
        let bar = console.bar(context.folder.name(), steps, "steps");
        bar.set(step);
        Ok(Self {
            recorder: Recorder::open(
                context.folder.dir(),
                context.folder.name(),
                step,
                &state["lines"],
            )?,
            section: section.clone(),
            bar,
            step,
            steps,
            updates_planned: updates,
            tokens: number("tokens"),
            withheld: number("withheld"),
            withheld_in_a_row: number("withheld_in_a_row"),
            seconds_before: state["seconds"].as_f64().unwrap_or(0.0),
            state: state["task"].take(),
            tensors: Vec::new(),
            arrays,
            context,
            model,
            optimizer,
            average,
            checkpoints,
            started: now,
            saved: now,
            rate: Rate { since: now, tokens: 0, flops: 0.0 },
            memory: None,
        })
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Tokens trained on.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Updates withheld for loss or gradients that were not finite.
    pub fn withheld(&self) -> u64 {
        self.withheld
    }

    /// Seconds of work, all sessions together.
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// What the stage last gave to [`Trainer::end_step`]; null at the beginning.
    pub fn state(&self) -> &Value {
        &self.state
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
        Rng::new(self.context.run.seed).fork(self.context.folder.name()).fork(name)
    }

    /// Dropout for a micro-batch of this step.
    pub fn dropout(&self, micro: u64) -> Option<Dropout> {
        let probability = self.section.dropout as f32;
        (probability > 0.0)
            .then(|| Dropout { probability, rng: self.rng("dropout").at(self.step).at(micro) })
    }

    /// Clips and applies gradients. Where `loss` or a gradient is not finite the update is withheld
    /// and counted.
    ///
    /// # Errors
    /// Failed, when three updates in a row were withheld; the last good checkpoint stays.
    pub fn update(&mut self, grads: &GradSet, loss: f64) -> Result<Update> {
        let learning_rate =
            schedule::learning_rate(&self.section, self.optimizer.updates(), self.updates_planned);
        let learned = grads.iter().filter(|(i, _)| self.optimizer.learns(*i));
        let grad_norm = learned.map(|(_, g)| ops::sum_squares(g)).sum::<f64>().sqrt();
        let applied = loss.is_finite() && grad_norm.is_finite();
        if applied {
            let clip = self.section.clip;
            let scale =
                if clip > 0.0 && grad_norm > clip { clip / (grad_norm + 1e-6) } else { 1.0 };
            self.optimizer.update(&mut self.model, grads, learning_rate, scale);
            if let Some(average) = &mut self.average {
                average.update(&self.model, self.optimizer.updates() - 1);
            }
            self.withheld_in_a_row = 0;
        } else {
            self.withheld += 1;
            self.withheld_in_a_row += 1;
            let step = self.step + 1;
            self.context.run.console.warn(&format!(
                "step {step}: loss {loss}, gradient norm {grad_norm}: update withheld ({} in a row)",
                self.withheld_in_a_row
            ));
            if self.withheld_in_a_row >= MOST_WITHHELD {
                self.recorder.flush()?;
                let name = self.context.folder.name();
                let kept = match self.checkpoints.list()?.last() {
                    Some((step, _)) => format!("the checkpoint of step {step} is intact"),
                    None => "there was no checkpoint yet".into(),
                };
                return Err(Error::failed(format!(
                    "loss or gradient was not finite {MOST_WITHHELD} times in a row"
                ))
                .at(format!("{name}, step {step}"))
                .hint(format!(
                    "lower {name}.train.learning_rate or raise {name}.train.warmup_steps, and look \
                     at the data; with --force the stage begins anew, {kept}"
                )));
            }
        }
        Ok(Update { grad_norm, learning_rate, applied })
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
        self.optimizer.plan(params, grads);
    }

    /// Counts tokens and operations for the rates.
    pub fn count(&mut self, tokens: u64, flops: f64) {
        self.tokens += tokens;
        self.rate.tokens += tokens;
        self.rate.flops += flops;
    }

    /// Tokens and floating-point operations per second since the last call.
    pub fn rates(&mut self) -> (f64, f64) {
        let seconds = self.rate.since.elapsed().as_secs_f64().max(1e-9);
        let rates = (self.rate.tokens as f64 / seconds, self.rate.flops / seconds);
        self.rate = Rate { since: Instant::now(), tokens: 0, flops: 0.0 };
        rates
    }

    /// Starts the rates anew, so that evaluation and sampling do not count against them.
    pub fn reset_rates(&mut self) {
        self.rate = Rate { since: Instant::now(), tokens: 0, flops: 0.0 };
    }

    /// Writes figures to metrics.jsonl and TensorBoard, under the number of steps done.
    ///
    /// # Errors
    /// Those of writing.
    pub fn record(&mut self, kind: &str, values: &[(&str, f64)]) -> Result<()> {
        self.record_at(kind, self.step, values)
    }

    /// Writes figures of step `step`: within a step, that which is about to end.
    ///
    /// # Errors
    /// Those of writing.
    pub fn record_at(&mut self, kind: &str, step: u64, values: &[(&str, f64)]) -> Result<()> {
        let seconds = self.seconds();
        self.recorder.metrics(kind, step, seconds, values)
    }

    /// Writes samples, under the number of steps done.
    ///
    /// # Errors
    /// Those of writing.
    pub fn sample(&mut self, samples: &[Sample]) -> Result<()> {
        self.sample_at(self.step, samples)
    }

    /// Writes samples of step `step`: within a step, that which is about to end.
    ///
    /// # Errors
    /// Those of writing.
    pub fn sample_at(&mut self, step: u64, samples: &[Sample]) -> Result<()> {
        self.recorder.samples(step, samples)
    }

    /// The text behind the progress bar.
    pub fn message(&self, text: &str) {
        self.bar.message(text);
    }

    /// Ends a step: writes a checkpoint if one is due, and leaves if the user wants to stop. `state`
    /// is what the stage needs, beside weights and optimiser, to go on.
    ///
    /// # Errors
    /// Interrupted, after a checkpoint; those of writing.
    pub fn end_step(&mut self, state: Value) -> Result<()> {
        self.step += 1;
        self.state = state;
        self.bar.set(self.step);
        let due = self.saved.elapsed().as_secs_f64() >= self.section.checkpoint_seconds;
        let stop = self.context.run.interrupt.is_set();
        // A withheld update leaves nothing new to save, and its checkpoint would push out one from
        // before the trouble.
        let new = self.step < self.steps && self.withheld_in_a_row == 0;
        if (due && new) || stop {
            self.save()?;
        }
        if stop {
            self.bar.finish("stopped");
            return Err(Error::interrupted(format!(
                "stopped at step {} of {}; a checkpoint was written",
                self.step, self.steps
            ))
            .at(self.context.folder.name())
            .hint("run the same command again to go on"));
        }
        Ok(())
    }

    /// Exchanges the weights and their average, where the recipe keeps one; twice is nothing.
    pub(crate) fn swap_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.swap(&mut self.model);
        }
    }

    /// Makes the average the model's weights for good.
    pub(crate) fn settle_average(&mut self) {
        self.swap_average();
        self.average = None;
    }

    /// Writes a checkpoint now.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&mut self) -> Result<()> {
        // What the metrics say must be on disk before a checkpoint says that its step is behind us.
        let lines = self.recorder.sync()?;
        let state = json!({
            "step": self.step,
            "updates": self.optimizer.updates(),
            "tokens": self.tokens,
            "withheld": self.withheld,
            "withheld_in_a_row": self.withheld_in_a_row,
            "seconds": self.seconds(),
            "seed": self.context.run.seed,
            "lines": lines,
            "task": self.state,
        });
        let weights = self.model.params.iter().map(|p| (p.name.clone(), &p.value));
        let average = self.average.as_ref().map(|a| a.tensors(&self.model));
        let mut files = vec![
            ("weights", HostTensors::new(weights)),
            ("optimizer", HostTensors::new(self.optimizer.tensors(&self.model))),
        ];
        files.extend(average.map(|a| ("average", HostTensors::new(a))));
        if !self.tensors.is_empty() {
            let tensors = self.tensors.iter().map(|(name, t)| (name.clone(), t));
            files.push((TASK, HostTensors::new(tensors)));
        }
        let views: Vec<(&str, Vec<ArrayRef<'_>>)> =
            files.iter().map(|(name, tensors)| (*name, tensors.arrays())).collect();
        let views: Vec<(&str, &[ArrayRef<'_>])> = views.iter().map(|(n, v)| (*n, &v[..])).collect();
        self.checkpoints.save(self.step, &views, &state)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Closes the bar and the metrics and gives the model back.
    ///
    /// # Errors
    /// Those of writing.
    pub fn close(mut self, text: &str) -> Result<Model> {
        self.recorder.flush()?;
        self.bar.finish(text);
        Ok(self.model)
    }
}

fn restore(
    mut checkpoint: Checkpoint,
    model: &mut Model,
    optimizer: &mut Optimizer,
    average: Option<&mut Average>,
) -> Result<Value> {
    let weights = checkpoint.take("weights")?;
    restore_weights(model, weights)?;
    let updates = checkpoint.state["updates"].as_u64().unwrap_or(0);
    optimizer.restore(model, checkpoint.take("optimizer")?, updates)?;
    if let Some(average) = average {
        average.restore(model, checkpoint.take("average")?)?;
    }
    Ok(checkpoint.state)
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
