//! JSON lines on standard output, one event each:
//! `{"event":"start","stage","total","unit"}`, `{"event":"progress","stage","done","total","unit",
//! "rate","seconds_left","message"}` (at most two a second), `{"event":"finish","stage","message"}`,
//! `{"event":"say","message"}`, `{"event":"warning","message"}`.

use std::{
    io::{self, Write},
    sync::Mutex,
    time::Duration,
};

use athanor_store::{Bar, Console};
use serde_json::{Value, json};

use super::meter::{LineBar, Meter};

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
        let last = |stage: &str, text: &str| {
            emit(&json!({ "event": "finish", "stage": stage, "message": text }));
        };
        let (stage, meter) = (stage.to_owned(), Mutex::new(Meter::new(total, unit)));
        Box::new(LineBar { stage, meter, every: EVERY, show, last })
    }

    fn say(&self, line: &str) {
        emit(&json!({ "event": "say", "message": line }));
    }

    fn warn(&self, line: &str) {
        emit(&json!({ "event": "warning", "message": line }));
    }
}

fn show(stage: &str, meter: &Meter) {
    emit(&json!({
        "event": "progress", "stage": stage, "done": meter.done, "total": meter.total,
        "unit": meter.unit, "rate": meter.rate(), "seconds_left": meter.left(),
        "message": meter.message,
    }));
}
