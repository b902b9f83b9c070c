//! JSON lines on standard output, one event each:
//! `{"event":"start","stage","total","unit"}`, `{"event":"progress","stage","done","total","unit",
//! "rate","seconds_left","message"}` (at most two a second), `{"event":"finish","stage","message"}`,
//! `{"event":"say","message"}`, `{"event":"warning","message"}`.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use athanor_store::{Bar, Console};
use serde_json::{Value, json};

use super::meter::Meter;

const EVERY: Duration = Duration::from_millis(500);

/// The console.
pub struct Events;

/// A reader that went away does not stop a training run.
fn emit(event: &Value) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{event}").and_then(|()| out.flush());
}

impl Console for Events {
    fn bar(&self, stage: &str, total: u64, unit: &str) -> Box<dyn Bar> {
        emit(&json!({ "event": "start", "stage": stage, "total": total, "unit": unit }));
        Box::new(EventBar { stage: stage.to_owned(), meter: Mutex::new(Meter::new(total, unit)) })
    }

    fn say(&self, line: &str) {
        emit(&json!({ "event": "say", "message": line }));
    }

    fn warn(&self, line: &str) {
        emit(&json!({ "event": "warning", "message": line }));
    }
}

struct EventBar {
    stage: String,
    meter: Mutex<Meter>,
}

impl Bar for EventBar {
    fn set(&self, done: u64) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.set(done);
        if meter.due(EVERY) {
            emit(&json!({
                "event": "progress", "stage": self.stage, "done": meter.done, "total": meter.total,
                "unit": meter.unit, "rate": meter.rate(), "seconds_left": meter.left(),
                "message": meter.message,
            }));
        }
    }

    fn message(&self, text: &str) {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner).message = text.to_owned();
    }

    fn finish(&self, text: &str) {
        emit(&json!({ "event": "finish", "stage": self.stage, "message": text }));
    }
}
