//! Panics. Each is a bug of ours; the command decides what happens after one.

use std::{
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook},
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use athanor_store::{Error, Result};

use crate::out;

/// What a command does after a bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterBug {
    /// Ends with exit code 1, on whichever thread it happens.
    #[default]
    Exit,
    /// Loses the work given to [`survive`] in which it happens, and goes on.
    GoOn,
}

/// Whether a bug belongs to the work of [`survive`].
static INSIDE: AtomicBool = AtomicBool::new(false);

/// What the first panic within that work said.
static SAID: Mutex<Option<String>> = Mutex::new(None);

const HELP: &str = "please report it with the command and its recipe; RUST_BACKTRACE=1 shows more";

/// Replaces Rust's message by two lines for the user.
pub fn install_hook() {
    let standard = take_hook();
    set_hook(Box::new(move |info| {
        let said = describe(info);
        let inside = INSIDE.load(Ordering::SeqCst);
        if inside {
            SAID.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(said);
        } else {
            out::note(&format!("{} {said}\n  help: {HELP}", out::styled("1;31", "error:")));
        }
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0") {
            standard(info);
        }
        if !inside {
            process::exit(1);
        }
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place = info.location().map_or(String::new(), |l| format!(" ({}:{})", l.file(), l.line()));
    format!("this is a bug in athanor {}: {message}{place}", env!("CARGO_PKG_VERSION"))
}

/// Work that a bug may interrupt. With [`AfterBug::GoOn`] a bug on any thread of the work becomes an error, once the
/// other threads have left the work. One such work at a time.
///
/// # Errors
/// Failed, after a bug; those of the work.
pub fn survive<T>(after: AfterBug, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if after == AfterBug::Exit {
        return work();
    }
    INSIDE.store(true, Ordering::SeqCst);
    // What the work holds is dropped with it; the model is only read.
    let result = catch_unwind(AssertUnwindSafe(work));
    INSIDE.store(false, Ordering::SeqCst);
    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner).take();
    result.unwrap_or_else(|_| {
        let said = said.unwrap_or_else(|| "this is a bug in athanor".into());
        Err(Error::failed(said).hint(HELP))
    })
}

/// Installs the hook for one test at a time, as it is the program's; it is taken away with the guard.
#[cfg(test)]
pub fn with_hook() -> impl Drop {
    struct Hook(#[allow(dead_code, reason = "held")] std::sync::MutexGuard<'static, ()>);
    impl Drop for Hook {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                let _ = take_hook();
            }
        }
    }
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    install_hook();
    Hook(guard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_on_any_thread_loses_its_work_only() {
        let _alone = with_hook();
        athanor_tensor::set_threads(3);
        let squares = |bad: Option<usize>| {
            survive(AfterBug::GoOn, || {
                Ok(athanor_tensor::host::map(64, |i| {
                    assert_ne!(Some(i), bad, "a planted bug");
                    i * i
                }))
            })
        };
        for bad in [0, 31, 63, 1, 62] {
            let error = squares(Some(bad)).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.exit_code(), 1);
            assert!(
                text.contains("this is a bug in athanor") && text.contains("a planted bug"),
                "{text}"
            );
            assert!(text.contains("bugs.rs") && text.contains("please report it"), "{text}");
            assert_eq!(squares(None).unwrap()[63], 63 * 63);
        }
        let error = survive(AfterBug::GoOn, || Err::<(), _>(Error::input("an error"))).unwrap_err();
        assert_eq!((error.exit_code(), error.to_string().as_str()), (2, "an error"));
    }
}
