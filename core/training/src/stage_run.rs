//! A stage at work: its folder, its checkpoints, its metrics, its progress bar and its rates.

use std::time::Instant;

use athanor_store::{
    Bar, Checkpoint, Checkpoints, Error, Fingerprint, Result, Run, StageFolder, Work,
};
use athanor_tensor::{Device, Rng};
use serde_json::{Value, json};

use crate::{
    record::{Recorder, Sample},
    section::TrainSection,
};

/// A stage of a run: its folder, and what its result is made from.
pub struct StageContext<'r> {
    /// The run.
    pub run: &'r Run,
    /// The stage's folder.
    pub folder: StageFolder,
    /// What decides the result.
    pub fingerprint: Fingerprint,
    device: Device,
}

impl<'r> StageContext<'r> {
    /// Of a stage's work.
    ///
    /// # Errors
    /// Input, if this build does not have the run's device.
    pub fn of<S>(work: &Work<'r, S>) -> Result<Self> {
        let device = work.run.device.as_deref().map(Device::by_name).transpose();
        Ok(Self {
            run: work.run,
            folder: work.folder.clone(),
            fingerprint: work.fingerprint.clone(),
            device: device.map_err(|e| Error::input(e).at("run.device"))?.unwrap_or_default(),
        })
    }

    /// Where models of this run live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// A stream of random numbers of this run's seed, this stage and a name.
    pub fn rng(&self, name: &str) -> Rng {
        Rng::new(self.run.seed).fork(self.folder.name()).fork(name)
    }
}

/// Steps of a stage, counted, recorded and saved.
pub(crate) struct StageRun<'c> {
    pub context: &'c StageContext<'c>,
    pub checkpoints: Checkpoints,
    recorder: Recorder,
    bar: Box<dyn Bar>,
    pub step: u64,
    pub steps: u64,
    pub tokens: u64,
    seconds_before: f64,
    started: Instant,
    saved: Instant,
    checkpoint_seconds: f64,
    /// What the stage keeps in a checkpoint's state.
    pub state: Value,
    rate: Rate,
}

/// Tokens and operations per second since the last look.
struct Rate {
    since: Instant,
    tokens: u64,
    flops: f64,
}

impl Rate {
    fn new() -> Self {
        Self { since: Instant::now(), tokens: 0, flops: 0.0 }
    }
}

impl<'c> StageRun<'c> {
    /// Begins, or goes on from the newest good checkpoint, which is given back to be restored from.
    ///
    /// # Errors
    /// Those of reading checkpoints and writing metrics.
    pub fn open(
        context: &'c StageContext<'c>,
        section: &TrainSection,
        steps: u64,
    ) -> Result<(Self, Option<Checkpoint>)> {
        let (console, name) = (&context.run.console, context.folder.name());
        let checkpoints =
            Checkpoints::new(&context.folder.path("checkpoints"), section.keep_checkpoints);
        let (mut found, warnings) = checkpoints.latest_with_warnings()?;
        for warning in warnings {
            console.warn(&warning);
        }
        let step = found.as_ref().map_or(0, |checkpoint| checkpoint.step);
        let null = &mut Value::Null;
        let state = found.as_mut().map_or(null, |checkpoint| &mut checkpoint.state);
        let now = Instant::now();
        let recorder = Recorder::open(context.folder.dir(), name, step, &state["lines"])?;
        let bar = console.bar(name, steps, "steps");
        bar.set(step);
        let new = Self {
            context,
            checkpoints,
            recorder,
            bar,
            step,
            steps,
            tokens: state["tokens"].as_u64().unwrap_or(0),
            seconds_before: state["seconds"].as_f64().unwrap_or(0.0),
            started: now,
            saved: now,
            checkpoint_seconds: section.checkpoint_seconds,
            state: state.get_mut("task").map(Value::take).unwrap_or_default(),
            rate: Rate::new(),
        };
        if step > 0 {
            console.say(&format!("{name}: going on from step {step}"));
        }
        Ok((new, found))
    }

    /// Seconds of work, all sessions together.
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
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
        self.rate = Rate::new();
        rates
    }

    /// Starts the rates anew, so that evaluation and sampling do not count against them.
    pub fn reset_rates(&mut self) {
        self.rate = Rate::new();
    }

    /// Writes figures of step `step` to metrics.jsonl and TensorBoard.
    pub fn record(&mut self, kind: &str, step: u64, values: &[(&str, f64)]) -> Result<()> {
        let seconds = self.seconds();
        self.recorder.metrics(kind, step, seconds, values)
    }

    /// Writes samples of step `step`.
    pub fn sample(&mut self, step: u64, samples: &[Sample]) -> Result<()> {
        self.recorder.samples(step, samples)
    }

    /// The text behind the progress bar.
    pub fn message(&self, text: &str) {
        self.bar.message(text);
    }

    /// Ends a step: `state` is what the stage needs to go on. Tells whether a checkpoint is due now and
    /// whether the user asked for a stop. Nothing is saved on a timer after a withheld update (`may_save`
    /// false): such a checkpoint holds nothing new and pushes out one from before the trouble.
    pub fn end_step(&mut self, state: Value, may_save: bool) -> (bool, bool) {
        self.step += 1;
        self.state = state;
        self.bar.set(self.step);
        let due = self.saved.elapsed().as_secs_f64() >= self.checkpoint_seconds;
        let stop = self.context.run.interrupt.is_set();
        ((due && may_save && self.step < self.steps) || stop, stop)
    }

    /// Waits until metrics and samples are on disk: what they say must be there before a checkpoint says
    /// that its step is done. Gives the number of their lines for the checkpoint.
    pub fn sync(&mut self) -> Result<Value> {
        self.recorder.sync()
    }

    /// Notes that a checkpoint was written.
    pub fn saved(&mut self) {
        self.saved = Instant::now();
    }

    /// The error that ends a stage whose user asked for a stop.
    pub fn stopped(&self) -> Error {
        self.bar.finish("stopped");
        Error::interrupted(format!(
            "stopped at step {} of {}; a checkpoint was written",
            self.step, self.steps
        ))
        .at(self.context.folder.name())
        .hint("run the same command again to go on")
    }

    /// Writes what is still in memory of metrics and samples.
    pub fn flush(&mut self) -> Result<()> {
        self.recorder.flush()
    }

    /// Closes the bar and the metrics.
    pub fn close(mut self, text: &str) -> Result<()> {
        self.recorder.flush()?;
        self.bar.finish(text);
        Ok(())
    }

    /// What a checkpoint says of the run.
    pub fn checkpoint_state(&self, lines: Value) -> Value {
        json!({
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds(),
            "seed": self.context.run.seed,
            "lines": lines,
            "task": self.state,
        })
    }
}
