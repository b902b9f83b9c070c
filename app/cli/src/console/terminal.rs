//! Bars on a terminal.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use athanor_store::{Bar, Console};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::meter::Meter;
use crate::out;

/// A bar's words change at most this often.
const EVERY: Duration = Duration::from_millis(100);

/// The console.
pub struct Terminal {
    bars: MultiProgress,
}

impl Terminal {
    /// Draws on standard error.
    pub fn new() -> Self {
        Self { bars: MultiProgress::new() }
    }

    fn line(&self, line: &str) {
        // Above the bars; indicatif prints nothing if there is no bar.
        self.bars.suspend(|| out::note(line));
    }
}

impl Console for Terminal {
    fn bar(&self, stage: &str, total: u64, unit: &str) -> Box<dyn Bar> {
        let (bar, template) = if total == 0 {
            (ProgressBar::new_spinner(), "{prefix:>10} {spinner} {pos} {msg}")
        } else {
            (ProgressBar::new(total), "{prefix:>10} {bar:24} {pos}/{len} {msg}")
        };
        let bar = self.bars.add(bar);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(stage.to_owned());
        bar.set_message(unit.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        Box::new(TerminalBar {
            bar,
            bars: self.bars.clone(),
            stage: stage.to_owned(),
            meter: Mutex::new(Meter::new(total, unit)),
        })
    }

    fn say(&self, line: &str) {
        self.line(line);
    }

    fn warn(&self, line: &str) {
        self.line(&format!("{} {line}", out::styled("33", "warning:")));
    }
}

struct TerminalBar {
    bar: ProgressBar,
    bars: MultiProgress,
    stage: String,
    meter: Mutex<Meter>,
}

impl TerminalBar {
    fn words(&self, meter: &Meter) {
        let mut words = vec![meter.unit.clone()];
        words.extend(meter.speed());
        if !meter.message.is_empty() {
            words.push(meter.message.clone());
        }
        self.bar.set_message(words.join(" · "));
    }
}

impl Bar for TerminalBar {
    fn set(&self, done: u64) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.set(done);
        self.bar.set_position(done);
        if meter.due(EVERY) {
            self.words(&meter);
        }
    }

    fn message(&self, text: &str) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone_into(&mut meter.message);
        self.words(&meter);
    }

    fn finish(&self, text: &str) {
        self.bar.finish_and_clear();
        self.bars.suspend(|| out::note(&format!("{:>10} {text}", self.stage)));
    }
}

impl Drop for TerminalBar {
    fn drop(&mut self) {
        // A stage that failed leaves no half bar over its error.
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}
