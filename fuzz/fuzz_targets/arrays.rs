//! A safetensors file: its header, then all of its arrays.
#![no_main]

use athanor_fuzz::{bounded, folder, put};
use athanor_store::{array_index, load_arrays};
use libfuzzer_sys::fuzz_target;

/// Beside what grows with the file: a block of the conversion (128 KiB) and messages.
const FIXED: usize = 256 << 10;

fuzz_target!(|data: &[u8]| {
    let dir = folder();
    put(dir.path(), "a.safetensors", data);
    let path = dir.path().join("a.safetensors");
    bounded(data.len(), FIXED, || drop(array_index(&path)));
    bounded(data.len(), FIXED, || drop(load_arrays(&path)));
});
