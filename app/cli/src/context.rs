//! What every command gets.

use athanor_lab::{MOST_THREADS, Session};
use athanor_tensor::{Device, backend::UnknownDevice};

use crate::{bugs::AfterBug, console};

/// A device and its name.
#[derive(Clone, Debug)]
pub struct Named {
    name: String,
    device: Device,
}

fn named(name: &str) -> Result<Named, UnknownDevice> {
    Device::by_name(name).map(|device| Named { name: name.to_owned(), device })
}

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
    /// What computes [default: `device` in the recipe's [run], else cpu]
    #[arg(long, global = true, value_name = "NAME", value_parser = named)]
    pub device: Option<Named>,
}

/// What every command gets: how to speak, and whether to stop.
pub struct Context {
    /// `--json`.
    pub json: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// The console, `--threads`, and the interrupt that Ctrl-C and SIGTERM set.
    pub session: Session,
    /// What the command does after a bug.
    pub after_bug: AfterBug,
    device: Option<Named>,
}

impl Context {
    /// From the options.
    pub fn new(globals: &Globals, after_bug: AfterBug) -> Self {
        let console = console::choose(globals.json, globals.quiet);
        Self {
            json: globals.json,
            quiet: globals.quiet,
            session: Session { threads: globals.threads, ..Session::new(console) },
            after_bug,
            device: globals.device.clone(),
        }
    }

    /// Where the models of commands without a recipe live.
    pub fn device(&self) -> Device {
        self.device.as_ref().map_or_else(Device::default, |named| named.device)
    }

    /// `--device`, for commands with a recipe.
    pub fn device_name(&self) -> Option<String> {
        self.device.as_ref().map(|named| named.name.clone())
    }

    /// Fixes the number of threads of a command without a recipe: `--threads`, or all cores.
    pub fn set_threads(&self) {
        self.session.set_threads(0);
    }
}
