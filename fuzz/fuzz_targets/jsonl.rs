//! JSON lines, plain or packed.
#![no_main]

use athanor_fuzz::source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A line of 64 MiB and the window of Zstandard.
    source("jsonl", "t.jsonl", data, 448 << 20);
});
