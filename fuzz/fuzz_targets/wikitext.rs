//! A page of wikitext.
#![no_main]

use athanor_corpus::sources::wikitext::to_text;
use athanor_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    bounded(4 * data.len(), 1 << 20, || drop(to_text(text)));
});
