//! A book as EPUB.
#![no_main]

use athanor_fuzz::source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A book unpacked (256 MiB), and a chapter's tree.
    source("epub", "b.epub", data, 768 << 20);
});
