//! Ctrl-C, SIGTERM and SIGHUP.
//!
//! Work that can stop in order (a stage, an evaluation) says so with [`working`]: then the first
//! signal asks it to stop and the second ends the program. An answer in a chat is cut short. All
//! else, waiting for the user included, ends at once.

use std::{
    process,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
};

use crate::{context::Context, out};

const IDLE: u8 = 0;
const WORKING: u8 = 1;
const ANSWERING: u8 = 2;

static MODE: AtomicU8 = AtomicU8::new(IDLE);
static CUT: AtomicBool = AtomicBool::new(false);

/// The exit code of a program that was interrupted.
pub const INTERRUPTED: i32 = 130;

/// Installs the handler.
pub fn install(context: &Context) {
    let (interrupt, console) = (context.session.interrupt.clone(), context.session.console.clone());
    let result = ctrlc::set_handler(move || match MODE.load(Ordering::SeqCst) {
        WORKING if !interrupt.is_set() => {
            interrupt.set();
            console.say("stopping in order; a second Ctrl-C stops at once");
        }
        ANSWERING if !CUT.swap(true, Ordering::SeqCst) => {}
        _ => process::exit(INTERRUPTED),
    });
    if let Err(e) = result {
        out::note(&format!("warning: Ctrl-C will stop without a checkpoint: {e}"));
    }
}

/// Work that polls the interrupt, until it is dropped.
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        MODE.store(IDLE, Ordering::SeqCst);
    }
}

/// The first signal now sets the context's interrupt.
pub fn working() -> Guard {
    MODE.store(WORKING, Ordering::SeqCst);
    Guard(())
}

/// The first signal now only cuts the answer short: see [`is_cut`].
pub fn answering() -> Guard {
    CUT.store(false, Ordering::SeqCst);
    MODE.store(ANSWERING, Ordering::SeqCst);
    Guard(())
}

/// Whether the answer is to be cut short.
pub fn is_cut() -> bool {
    CUT.load(Ordering::SeqCst)
}
