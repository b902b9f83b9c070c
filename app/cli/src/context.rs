//! What every command gets.

use athanor_lab::{MOST_THREADS, Session};

use crate::console;

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
    /// `--json`.
    pub json: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// The console, `--threads`, and the interrupt that Ctrl-C and SIGTERM set.
    pub session: Session,
}

impl Context {
    /// From the options.
    pub fn new(globals: &Globals) -> Self {
        let console = console::choose(globals.json, globals.quiet);
        Self {
            json: globals.json,
            quiet: globals.quiet,
            session: Session { threads: globals.threads, ..Session::new(console) },
        }
    }

    /// Fixes the number of threads of a command without a recipe: `--threads`, or all cores.
    pub fn set_threads(&self) {
        self.session.set_threads(0);
    }
}
