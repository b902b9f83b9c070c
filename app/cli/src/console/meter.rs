//! Rate and time left of one bar, and bars that are lines of text.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use athanor_store::Bar;

/// A bar that writes a line from time to time.
pub struct LineBar {
    /// The stage.
    pub stage: String,
    /// Its rate.
    pub meter: Mutex<Meter>,
    /// The least time between two lines.
    pub every: Duration,
    /// Writes a line about a stage.
    pub show: fn(&str, &Meter),
    /// Writes a stage's last line.
    pub last: fn(&str, &str),
}

impl Bar for LineBar {
    fn set(&self, done: u64) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.set(done);
        if meter.due(self.every) {
            (self.show)(&self.stage, &meter);
        }
    }

    fn message(&self, text: &str) {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner).message = text.to_owned();
    }

    fn finish(&self, text: &str) {
        (self.last)(&self.stage, text);
    }
}

/// What a bar has done, since when.
#[derive(Debug)]
pub struct Meter {
    /// Units done.
    pub done: u64,
    /// Units in all; 0 if unknown.
    pub total: u64,
    /// What is counted.
    pub unit: String,
    /// Loss and the like.
    pub message: String,
    /// The bar's first report: a resumed run does not begin at 0.
    first: Option<(u64, Instant)>,
    shown: Instant,
}

impl Meter {
    /// Nothing done yet.
    pub fn new(total: u64, unit: &str) -> Self {
        let unit = unit.to_owned();
        Self { done: 0, total, unit, message: String::new(), first: None, shown: Instant::now() }
    }

    /// Units done so far.
    pub fn set(&mut self, done: u64) {
        self.done = done;
        // Rates count from the first report on, which for a resumed run is where it goes on.
        self.first.get_or_insert_with(|| (done, Instant::now()));
    }

    /// Whether it is time to show it again; then the next time is `every` later.
    pub fn due(&mut self, every: Duration) -> bool {
        let due = self.shown.elapsed() >= every;
        if due {
            self.shown = Instant::now();
        }
        due
    }

    /// Units a second, after 0.1 s of work.
    pub fn rate(&self) -> Option<f64> {
        let (from, since) = self.first?;
        let seconds = since.elapsed().as_secs_f64();
        (self.done > from && seconds >= 0.1).then(|| (self.done - from) as f64 / seconds)
    }

    /// Seconds left, once the rate is known.
    pub fn left(&self) -> Option<f64> {
        (self.total > self.done)
            .then_some((self.total.saturating_sub(self.done)) as f64 / self.rate()?)
    }

    /// `120/1000 steps, 12%, 3.1/s, 4 min left, loss 2.31`.
    pub fn line(&self) -> String {
        let mut parts = vec![match self.total {
            0 => format!("{} {}", self.done, self.unit),
            total => format!("{}/{total} {}", self.done, self.unit),
        }];
        if self.total > 0 {
            parts.push(format!("{:.0}%", 100.0 * self.done as f64 / self.total as f64));
        }
        parts.extend(self.speed());
        if !self.message.is_empty() {
            parts.push(self.message.clone());
        }
        parts.join(", ")
    }

    /// Rate and time left in words.
    pub fn speed(&self) -> Vec<String> {
        let rate = self.rate().map(|r| format!("{}/s", rounded(r)));
        let left = self.left().map(|s| format!("{} left", duration(s)));
        rate.into_iter().chain(left).collect()
    }
}

/// Three significant figures.
fn rounded(x: f64) -> String {
    match x {
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x => format!("{x:.2}"),
    }
}

/// `42 s`, `3 min`, `2.5 h`.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let mut meter = Meter::new(1000, "steps");
        meter.message = "loss 2.31".into();
        assert_eq!(meter.line(), "0/1000 steps, 0%, loss 2.31");
        meter.set(500);
        assert!(meter.rate().is_none(), "a resumed run's first report is no speed");
        assert_eq!(Meter::new(0, "documents").line(), "0 documents");
        assert_eq!([rounded(1234.5), rounded(12.34), rounded(0.5)], ["1234", "12.3", "0.50"]);
        assert_eq!(
            [duration(12.0), duration(600.0), duration(7200.0)],
            ["12 s", "10 min", "2.0 h"]
        );
    }
}
