//! Standard output and standard error, without panics if their reader has gone.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    process,
};

use athanor_store::{Error, Kind, Result};
use serde_json::{Value, json};

/// Writes to standard output and flushes it. If the reader has gone (`athanor recipe | head`) the program ends
/// without a message, as other Unix tools do.
///
/// # Errors
/// Failed, if it cannot be written for another reason, for instance a full disk.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        Err(e) => Err(Error::io("write", Path::new("standard output"), e)),
    }
}

/// [`print`] with a line end.
///
/// # Errors
/// As [`print`].
pub fn line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

/// A value as one line of JSON.
///
/// # Errors
/// As [`print`].
pub fn json(value: &Value) -> Result<()> {
    line(&value.to_string())
}

/// A line on standard error; nothing happens when it is closed.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether standard error takes colours: a terminal, and the user has not set NO_COLOR.
pub fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// A text in an ANSI style such as `1;31`, if standard error takes colours.
pub fn styled(style: &str, text: &str) -> String {
    if colours() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Shows an error to the user; programs (`--json`) get an object on standard output as well.
pub fn error(json: bool, error: &Error) {
    note(&format!("{} {error}", styled("1;31", "error:")));
    if json {
        let kind = match error.kind() {
            Kind::Input => "input",
            Kind::Failed => "failed",
            Kind::Interrupted => "interrupted",
        };
        let event = json!({ "event": "error", "kind": kind, "message": error.to_string() });
        let _ = writeln!(io::stdout().lock(), "{event}");
    }
}
