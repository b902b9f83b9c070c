//! The `athanor` binary: raw text to an aligned language model, in stages.
//!
//! A command is one file in `commands/` with one line in its registry, a stage one line in
//! `stages.rs`, an evaluation task one file in `tasks/`. What a command answers goes to standard
//! output, what it says on the way to standard error.

mod commands;
mod comparison;
mod console;
mod context;
mod convert;
mod documents;
mod gguf;
mod model_path;
mod out;
mod pipeline;
mod plan;
mod signals;
mod stages;
mod tasks;
mod writer;

use std::process::ExitCode;

fn main() -> ExitCode {
    athanor_tensor::bound_heap();
    out::install_panic_hook();
    let (context, command) = commands::parse();
    signals::install(&context);
    match command(&context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::error(&context, &error);
            ExitCode::from(error.exit_code())
        }
    }
}
