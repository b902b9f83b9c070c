//! A model folder: config.json, then behind a byte 0 model.safetensors. An input without one is a
//! config.json beside a safetensors file of no tensors.
#![no_main]

use athanor_fuzz::{bounded, folder, put};
use athanor_models::Model;
use athanor_tensor::Device;
use libfuzzer_sys::fuzz_target;

/// Beside what grows with the folder: buffers of reading, the least that the pool of tensors gives.
const FIXED: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (config, weights) = data.split_at(at);
    let weights = weights.get(1..).unwrap_or(b"\x02\0\0\0\0\0\0\0{}");
    let dir = folder();
    put(dir.path(), "config.json", config);
    put(dir.path(), "model.safetensors", weights);
    bounded(data.len(), FIXED, || drop(Model::load(dir.path(), Device::Cpu)));
});
