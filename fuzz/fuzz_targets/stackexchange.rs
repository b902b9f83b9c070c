//! Stack Exchange's Posts.xml, plain or packed.
#![no_main]

use athanor_fuzz::source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The window of Zstandard, and trees of posts.
    source("stackexchange", "Posts.xml", data, 512 << 20);
});
