//! CSV with a header.
#![no_main]

use athanor_fuzz::source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A row of 64 MiB and the window of Zstandard.
    source("csv", "t.csv", data, 448 << 20);
});
