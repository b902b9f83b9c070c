//! A crawl (WARC or WET), plain or packed.
#![no_main]

use athanor_fuzz::source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A page's trees, and the window of Zstandard.
    source("warc", "f.warc", data, 512 << 20);
});
