//! A model folder: config.json, then behind a byte 0 model.safetensors. An input without one is a
//! config.json beside a safetensors file of no tensors.
#![no_main]

use athanor_models::Model;
use athanor_tensor::Device;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    let (config, weights) = data.split_at(at);
    let weights = weights.get(1..).unwrap_or(b"\x02\0\0\0\0\0\0\0{}");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    std::fs::write(dir.path().join("model.safetensors"), weights).unwrap();
    let _ = Model::load(dir.path(), Device::Cpu);
});
