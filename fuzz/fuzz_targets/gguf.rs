//! A GGUF file: its header, and its import into a folder.
#![no_main]

use athanor_fuzz::{bounded, folder, put};
use athanor_gguf::{File, import};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let dir = folder();
    put(dir.path(), "m.gguf", data);
    let path = dir.path().join("m.gguf");
    // A buffer of reading.
    bounded(data.len(), 16 << 10, || drop(File::open(&path)));
    let out = dir.path().join("out");
    std::fs::create_dir(&out).expect("a folder");
    // Buffers of reading and writing, 1 MiB the largest.
    bounded(data.len(), 3 << 19, || drop(import(&path, &out)));
});
