//! What every command gets.

use std::sync::Arc;

use athanor_store::{Console, Interrupt};

use crate::console;

/// More threads than any processor has cores only spend the machine on starting them.
pub const MOST_THREADS: usize = 1024;

/// Options that every command takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Globals {
    /// CPU threads (0: all cores); results do not depend on it
    #[arg(
        long,
        global = true,
        value_name = "N",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=MOST_THREADS as u64)
    )]
    pub threads: Option<usize>,
    /// Speak JSON: results as one object, progress as one event a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// What every command gets: how to speak, and whether to stop.
pub struct Context {
    /// `--threads`.
    pub threads: Option<usize>,
    /// `--json`.
    pub json: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// Where progress is shown.
    pub console: Arc<dyn Console>,
    /// Set by Ctrl-C and SIGTERM.
    pub interrupt: Interrupt,
}

impl Context {
    /// From the options.
    pub fn new(globals: &Globals) -> Self {
        Self {
            threads: globals.threads,
            json: globals.json,
            quiet: globals.quiet,
            console: console::choose(globals.json, globals.quiet),
            interrupt: Interrupt::new(),
        }
    }

    /// Fixes the number of threads: `--threads`, or what the recipe says, or all cores.
    pub fn set_threads(&self, recipe: usize) {
        athanor_tensor::set_threads(self.threads.unwrap_or(recipe));
    }
}
