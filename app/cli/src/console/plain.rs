//! Plain lines on standard error: where output goes to a file or a log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use athanor_store::{Bar, Console};

use super::meter::Meter;
use crate::out;

/// At most one line in this time for each bar.
const EVERY: Duration = Duration::from_secs(5);

/// The console.
pub struct Plain;

impl Console for Plain {
    fn bar(&self, stage: &str, total: u64, unit: &str) -> Box<dyn Bar> {
        let total_words = if total == 0 { String::new() } else { format!("{total} ") };
        out::note(&format!("{stage}: {total_words}{unit}"));
        Box::new(PlainBar { stage: stage.to_owned(), meter: Mutex::new(Meter::new(total, unit)) })
    }

    fn say(&self, line: &str) {
        out::note(line);
    }

    fn warn(&self, line: &str) {
        out::note(&format!("warning: {line}"));
    }
}

struct PlainBar {
    stage: String,
    meter: Mutex<Meter>,
}

impl Bar for PlainBar {
    fn set(&self, done: u64) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.set(done);
        if meter.due(EVERY) {
            out::note(&format!("{}: {}", self.stage, meter.line()));
        }
    }

    fn message(&self, text: &str) {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner).message = text.to_owned();
    }

    fn finish(&self, text: &str) {
        out::note(&format!("{}: {text}", self.stage));
    }
}
