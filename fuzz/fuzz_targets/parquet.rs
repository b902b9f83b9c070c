//! Parquet: index, pages, rows.
#![no_main]

use athanor_fuzz::source;
use libfuzzer_sys::fuzz_target;

// The crate's own panics are caught where it is called, and made errors; those that get out end the target.
fuzz_target!(|data: &[u8]| {
    // A page of 64 MiB while it grows, its values' differences, a dictionary, a row of 64 MiB.
    source("parquet", "t.parquet", data, 768 << 20);
});
