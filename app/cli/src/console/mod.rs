//! How work shows its progress: bars on a terminal, plain lines elsewhere, JSON lines for programs.

mod events;
mod meter;
mod plain;
mod terminal;

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use athanor_store::{Console, Silent};

/// The console for these options.
pub fn choose(json: bool, quiet: bool) -> Arc<dyn Console> {
    if quiet {
        Arc::new(Silent)
    } else if json {
        Arc::new(events::Events)
    } else if io::stderr().is_terminal() {
        Arc::new(terminal::Terminal::new())
    } else {
        Arc::new(plain::Plain)
    }
}
