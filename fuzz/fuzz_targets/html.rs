//! A web page: its main text, and all of its text.
#![no_main]

use athanor_fuzz::source;
use athanor_corpus::sources::html::whole_text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Trees of a page, as stages/corpus/src/sources/html.rs bounds them.
    source("html", "p.html", data, 512 << 20);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = whole_text(text);
    }
});
