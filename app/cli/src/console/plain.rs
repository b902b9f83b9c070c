//! Plain lines on standard error: where output goes to a file or a log.

use std::{sync::Mutex, time::Duration};

use athanor_store::{Bar, Console};

use super::meter::{LineBar, Meter};
use crate::out;

/// At most one line in this time for each bar.
const EVERY: Duration = Duration::from_secs(5);

/// The console.
pub struct Plain;

impl Console for Plain {
    fn bar(&self, stage: &str, total: u64, unit: &str) -> Box<dyn Bar> {
        let total_words = if total == 0 { String::new() } else { format!("{total} ") };
        out::note(&format!("{stage}: {total_words}{unit}"));
        Box::new(LineBar {
            stage: stage.to_owned(),
            meter: Mutex::new(Meter::new(total, unit)),
            every: EVERY,
            show: |stage, meter| out::note(&format!("{stage}: {}", meter.line())),
            last: |stage, text| out::note(&format!("{stage}: {text}")),
        })
    }

    fn say(&self, line: &str) {
        out::note(line);
    }

    fn warn(&self, line: &str) {
        out::note(&format!("warning: {line}"));
    }
}
