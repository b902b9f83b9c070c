//! What a stage leaves for its readers: metrics and samples.

use std::path::Path;

use athanor_store::{JsonLines, Result, TensorBoard, figures::MetricsRow};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A text that the model wrote, as in samples.jsonl.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What it was asked.
    pub prompt: String,
    /// What it wrote.
    pub text: String,
    /// The reward model's opinion, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
}

/// metrics.jsonl, samples.jsonl and TensorBoard's events.
pub(crate) struct Recorder {
    metrics: JsonLines,
    samples: JsonLines,
    events: TensorBoard,
    stage: String,
    /// Lines of metrics.jsonl and samples.jsonl.
    written: [u64; 2],
}

const METRICS: &str = "metrics.jsonl";
const SAMPLES: &str = "samples.jsonl";

impl Recorder {
    /// Goes on after `step` steps; what an earlier process wrote beyond them is dropped. `lines` is
    /// what [`sync`](Self::sync) gave to the checkpoint: the step alone cannot tell what was written
    /// at its end from what came after it, when a process that had done all steps was killed.
    pub fn open(dir: &Path, stage: &str, step: u64, lines: &Value) -> Result<Self> {
        let mut written = [0, 0];
        for (name, written) in [METRICS, SAMPLES].into_iter().zip(&mut written) {
            let most = lines[name].as_u64().unwrap_or(u64::MAX);
            JsonLines::truncate_after(&dir.join(name), |v| {
                let good = v["step"].as_u64().is_some_and(|s| s <= step && step > 0);
                let keep = good && *written < most;
                *written += u64::from(keep);
                keep
            })?;
        }
        let events =
            if step == 0 { TensorBoard::create(dir)? } else { TensorBoard::resume(dir, step)? };
        Ok(Self {
            metrics: JsonLines::append(&dir.join(METRICS))?,
            samples: JsonLines::append(&dir.join(SAMPLES))?,
            events,
            stage: stage.into(),
            written,
        })
    }

    pub fn metrics(
        &mut self,
        kind: &str,
        step: u64,
        seconds: f64,
        values: &[(&str, f64)],
    ) -> Result<()> {
        let mut row = MetricsRow {
            kind: kind.into(),
            step: Some(step),
            seconds: Some((seconds * 1000.0).round() / 1000.0),
            ..MetricsRow::default()
        };
        for (name, value) in values {
            // JSON has no NaN: a null says that there was no number.
            row.figures.insert((*name).into(), json!(value));
            self.events.scalar(&format!("{}/{kind}.{name}", self.stage), step, *value)?;
        }
        self.written[0] += 1;
        self.metrics.write(&json!(row))
    }

    pub fn samples(&mut self, step: u64, samples: &[Sample]) -> Result<()> {
        for sample in samples {
            let mut line = json!({ "step": step, "stage": self.stage });
            if let (Value::Object(line), Value::Object(sample)) = (&mut line, json!(sample)) {
                line.extend(sample);
            }
            self.written[1] += 1;
            self.samples.write(&line)?;
            let text = format!("{}\n\n{}", sample.prompt, sample.text);
            self.events.text(&format!("{}/sample", self.stage), step, &text)?;
        }
        self.samples.flush()
    }

    /// Waits until all is on the disk, and says for the checkpoint how many lines there are.
    pub fn sync(&mut self) -> Result<Value> {
        self.metrics.sync()?;
        self.samples.sync()?;
        self.events.flush()?;
        Ok(json!({ METRICS: self.written[0], SAMPLES: self.written[1] }))
    }

    pub fn flush(&mut self) -> Result<()> {
        self.metrics.flush()?;
        self.samples.flush()?;
        self.events.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the last step no number of a step tells what a checkpoint has behind it.
    #[test]
    fn what_came_after_the_checkpoint_is_dropped() {
        let dir = std::env::temp_dir().join(format!("athanor-record-{}", std::process::id()));
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        let sample = Sample { prompt: "a".into(), text: "b".into(), reward: None };
        let mut recorder = Recorder::open(&dir, "pretrain", 0, &Value::Null).unwrap();
        recorder.metrics("eval", 0, 0.0, &[("loss", 2.0)]).unwrap();
        recorder.metrics("train", 1, 0.0, &[("loss", 2.0)]).unwrap();
        recorder.samples(1, std::slice::from_ref(&sample)).unwrap();
        let lines = recorder.sync().unwrap();
        let (metrics, samples) = (read(METRICS), read(SAMPLES));
        for _ in 0..2 {
            recorder.metrics("eval", 1, 0.0, &[("loss", 1.0)]).unwrap();
            recorder.samples(1, std::slice::from_ref(&sample)).unwrap();
            recorder.flush().unwrap();
            drop(recorder);
            recorder = Recorder::open(&dir, "pretrain", 1, &lines).unwrap();
            assert_eq!((read(METRICS), read(SAMPLES)), (metrics.clone(), samples.clone()));
        }
        assert_eq!(recorder.sync().unwrap(), lines);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
