//! The `athanor` binary: raw text to an aligned language model, in stages.
//!
//! A command is one file in `commands/` with one line in its registry. What a command answers goes to standard
//! output, what it says on the way to standard error. Recipes and their runs are athanor-lab's.

mod bugs;
mod commands;
mod console;
mod context;
mod convert;
mod gguf;
mod model_path;
mod out;
mod runs;
mod signals;
mod writer;

use std::process::ExitCode;

fn main() -> ExitCode {
    athanor_tensor::bound_heap();
    bugs::install_hook();
    let (context, command) = commands::parse();
    signals::install(&context);
    match command(&context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::error(context.json, &error);
            ExitCode::from(error.exit_code())
        }
    }
}
