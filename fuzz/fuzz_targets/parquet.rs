//! Parquet: index, pages, rows.
#![no_main]

use athanor_fuzz::source;
use libfuzzer_sys::fuzz_target;

/// The crate's own panics are caught where it is called, and made errors; only those that get out count.
fn hook(info: &std::panic::PanicHookInfo) {
    if info.location().is_none_or(|l| !l.file().contains("/parquet-")) {
        eprintln!("{info}");
    }
}

fuzz_target!(init: std::panic::set_hook(Box::new(hook)), |data: &[u8]| {
    // A page of 64 MiB while it grows, its values' differences, a dictionary, a row of 64 MiB.
    source("parquet", "t.parquet", data, 768 << 20);
});
