//! A run: its folder, its recipe, and the way it speaks to the user.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Set by Ctrl-C or SIGTERM; long loops poll it, write a checkpoint and leave.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A flag that nobody has set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the loops to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Where a run shows its progress; the app decides how.
pub trait Console: Send + Sync {
    /// Starts a bar of `total` units (0: unknown).
    fn bar(&self, stage: &str, total: u64, unit: &str) -> Box<dyn Bar>;
    /// A line for the user.
    fn say(&self, line: &str);
    /// A warning.
    fn warn(&self, line: &str);
}

/// One progress bar.
pub trait Bar: Send {
    /// Units done so far.
    fn set(&self, done: u64);
    /// Loss, rate and the like, behind the bar.
    fn message(&self, text: &str);
    /// Closes the bar with a last word.
    fn finish(&self, text: &str);
}

/// A console that says nothing, for tests and libraries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Console for Silent {
    fn bar(&self, _: &str, _: u64, _: &str) -> Box<dyn Bar> {
        Box::new(Silent)
    }
    fn say(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}

impl Bar for Silent {
    fn set(&self, _: u64) {}
    fn message(&self, _: &str) {}
    fn finish(&self, _: &str) {}
}
