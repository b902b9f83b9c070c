//! What the caller of a run decides: where progress is shown, when to stop, how many threads.

use std::sync::Arc;

use athanor_store::{Console, Interrupt, Silent};

/// The greatest number of threads that may be asked for: no processor has more cores.
pub const MOST_THREADS: usize = 1024;

/// What every run of a program shares.
#[derive(Clone)]
pub struct Session {
    /// Where progress is shown.
    pub console: Arc<dyn Console>,
    /// Set to stop in order, with a checkpoint.
    pub interrupt: Interrupt,
    /// CPU threads in place of what recipes say; 0: all cores.
    pub threads: Option<usize>,
}

impl Session {
    /// One that shows its progress on this console.
    pub fn new(console: Arc<dyn Console>) -> Self {
        Self { console, interrupt: Interrupt::new(), threads: None }
    }

    /// Fixes the number of threads of the process: the session's own, else the recipe's. The first call decides.
    pub fn set_threads(&self, recipe: usize) {
        athanor_tensor::set_threads(self.threads.unwrap_or(recipe));
    }
}

impl Default for Session {
    /// One without a console.
    fn default() -> Self {
        Self::new(Arc::new(Silent))
    }
}
