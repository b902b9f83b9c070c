//! Rows of metrics.jsonl.

use serde_json::{Map, Value};

use super::{
    FLOPS, Figure, GRAD_NORM, LEARNING_RATE, LOSS, SPEED, TOKENS, WITHHELD, describe::objects,
};

objects! {
    /// A line of metrics.jsonl.
    MetricsRow {
        /// `train`: of a step; `eval`: on held-out data.
        kind: String, "";
        /// Steps done.
        step: Option<u64>, "";
        /// Seconds of work, all sessions.
        seconds: Option<f64>, "s";
        /// Figures by name (next table); null for one that is not a number.
        #[serde(flatten)]
        figures: Map<String, Value>, "";
    }
}

/// The kind of rows of steps.
pub const TRAIN: &str = "train";
/// The kind of rows of held-out data.
pub const EVAL: &str = "eval";

/// The figures that something writes into metrics.jsonl, besides those of every stage.
#[derive(Clone, Copy, Debug)]
pub struct Logged {
    /// In rows of the kind `train`.
    pub train: &'static [&'static Figure],
    /// In rows of the kind `eval`.
    pub eval: &'static [&'static Figure],
    /// In rows of the kind `eval`, too: figures that others also write.
    pub eval_also: &'static [&'static Figure],
}

impl Logged {
    /// Rows of the table of figures in docs/contracts.md; `of` says who writes them.
    pub fn rows(&self, of: &str) -> String {
        let eval: Vec<&Figure> = self.eval.iter().chain(self.eval_also).copied().collect();
        let also = eval.iter().filter(|figure| !self.train.contains(figure));
        let mut out = String::new();
        for figure in self.train.iter().chain(also) {
            let kind = match (self.train.contains(figure), eval.contains(figure)) {
                (true, true) => "train, eval",
                (true, false) => TRAIN,
                _ => EVAL,
            };
            let Figure { name, unit, about, .. } = figure;
            out += &format!("| {of} | {kind} | `{name}` | {} | {about} |\n", unit.words());
        }
        out
    }
}

/// What every supervised stage writes.
pub const SUPERVISED: Logged = Logged {
    train: &[&LOSS, &LEARNING_RATE, &GRAD_NORM, &TOKENS, &SPEED, &FLOPS, &WITHHELD],
    eval: &[&LOSS],
    eval_also: &[],
};
