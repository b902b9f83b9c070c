//! What a stage leaves for its readers: metrics and samples.

use std::path::Path;

use athanor_store::{JsonLines, Result, TensorBoard};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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
}

const METRICS: &str = "metrics.jsonl";
const SAMPLES: &str = "samples.jsonl";

impl Recorder {
    /// Goes on after `step` steps; what an earlier process wrote beyond them is dropped.
    pub fn open(dir: &Path, stage: &str, step: u64) -> Result<Self> {
        for name in [METRICS, SAMPLES] {
            let path = dir.join(name);
            if path.exists() {
                JsonLines::truncate_after(&path, |v| {
                    v["step"].as_u64().is_some_and(|s| s <= step && step > 0)
                })?;
            }
        }
        let events =
            if step == 0 { TensorBoard::create(dir)? } else { TensorBoard::resume(dir, step)? };
        Ok(Self {
            metrics: JsonLines::append(&dir.join(METRICS))?,
            samples: JsonLines::append(&dir.join(SAMPLES))?,
            events,
            stage: stage.into(),
        })
    }

    pub fn metrics(
        &mut self,
        kind: &str,
        step: u64,
        seconds: f64,
        values: &[(&str, f64)],
    ) -> Result<()> {
        let mut line = Map::new();
        line.insert("kind".into(), kind.into());
        line.insert("step".into(), step.into());
        line.insert("seconds".into(), json!((seconds * 1000.0).round() / 1000.0));
        for (name, value) in values {
            // JSON has no NaN: a null says that there was no number.
            line.insert((*name).into(), json!(value));
            self.events.scalar(&format!("{}/{kind}.{name}", self.stage), step, *value)?;
        }
        self.metrics.write(&Value::Object(line))
    }

    pub fn samples(&mut self, step: u64, samples: &[Sample]) -> Result<()> {
        for sample in samples {
            let mut line = json!({ "step": step, "stage": self.stage });
            if let (Value::Object(line), Value::Object(sample)) = (&mut line, json!(sample)) {
                line.extend(sample);
            }
            self.samples.write(&line)?;
            let text = format!("{}\n\n{}", sample.prompt, sample.text);
            self.events.text(&format!("{}/sample", self.stage), step, &text)?;
        }
        self.samples.flush()
    }

    pub fn flush(&mut self) -> Result<()> {
        self.metrics.flush()?;
        self.samples.flush()?;
        self.events.flush()
    }
}
