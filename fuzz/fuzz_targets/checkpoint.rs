//! A checkpoint's folder: manifest.json, state.json, then weights.safetensors.
#![no_main]

use athanor_fuzz::{bounded, folder, parts, put};
use athanor_store::Checkpoints;
use libfuzzer_sys::fuzz_target;

/// Beside what grows with the files: the buffer that hashes them (256 KiB) and that of a conversion.
const FIXED: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let [manifest, state, weights] = parts(data);
    let dir = folder();
    let step = dir.path().join("step-00000005");
    std::fs::create_dir(&step).expect("a folder");
    put(&step, "manifest.json", manifest);
    put(&step, "state.json", state);
    put(&step, "weights.safetensors", weights);
    // A tree of JSON takes some twenty times its text; state.json is ours and small.
    bounded(data.len(), FIXED + 32 * (manifest.len() + state.len()), || {
        let _ = Checkpoints::new(dir.path(), 1).latest_with_warnings();
    });
});
