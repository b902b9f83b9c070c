//! A stage at work: its folder, its checkpoints, its metrics, its progress bar and its rates.

use std::{sync::Arc, time::Instant};

use athanor_store::{
    Bar, Checkpoint, Checkpoints, Console, Error, Fingerprint, Result, Run, Silent, StageFolder,
    Work,
};
use athanor_tensor::{Device, Rng};
use serde_json::{Value, json};

use crate::{
    parallel::{Alone, Communicator},
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
    /// The processes that train together.
    pub communicator: Arc<dyn Communicator>,
    device: Device,
}

impl<'r> StageContext<'r> {
    /// Of a stage's work, in one process.
    ///
    /// # Errors
    /// Input, if this build does not have the run's device.
    pub fn of<S>(work: &Work<'r, S>) -> Result<Self> {
        Self::shared(work.run, work.folder.clone(), work.fingerprint.clone(), Arc::new(Alone))
    }

    /// Of a stage of a run, with the processes that train together.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn shared(
        run: &'r Run,
        folder: StageFolder,
        fingerprint: Fingerprint,
        communicator: Arc<dyn Communicator>,
    ) -> Result<Self> {
        let device = run.device.as_deref().map(Device::by_name).transpose();
        let device = device.map_err(|e| Error::input(e).at("run.device"))?.unwrap_or_default();
        Ok(Self { run, folder, fingerprint, communicator, device })
    }

    /// Whether this process writes what the stage leaves.
    pub fn is_first(&self) -> bool {
        self.communicator.rank() == 0
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
    /// None in a process that writes nothing.
    recorder: Option<Recorder>,
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
        let first = context.is_first();
        let open = || Recorder::open(context.folder.dir(), name, step, &state["lines"]);
        let recorder = first.then(open).transpose()?;
        let console: &dyn Console = if first { &**console } else { &Silent };
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
        self.written(|recorder| recorder.metrics(kind, step, seconds, values))
    }

    /// Writes samples of step `step`.
    pub fn sample(&mut self, step: u64, samples: &[Sample]) -> Result<()> {
        self.written(|recorder| recorder.samples(step, samples))
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
        self.recorder.as_mut().map_or(Ok(Value::Null), Recorder::sync)
    }

    fn written(&mut self, write: impl FnOnce(&mut Recorder) -> Result<()>) -> Result<()> {
        self.recorder.as_mut().map_or(Ok(()), write)
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
        self.written(Recorder::flush)
    }

    /// Closes the bar and the metrics.
    pub fn close(mut self, text: &str) -> Result<()> {
        self.flush()?;
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
