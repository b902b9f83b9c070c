//! A damaged or crafted config.json or model.safetensors gives an error, never a panic, and never
//! takes more memory than eight times the folder's size.

use std::{fs, path::Path};

use athanor_models::Model;
use athanor_tensor::Device;
use peak_alloc::PeakAlloc;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Beside what grows with the folder: buffers of reading, the least that the pool of tensors gives.
const FIXED: usize = 1 << 20;

fn runner(cases: u32) -> TestRunner {
    TestRunner::new_with_rng(
        ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    )
}

fn load(dir: &Path, config: &[u8], weights: &[u8]) -> usize {
    fs::write(dir.join("config.json"), config).unwrap();
    fs::write(dir.join("model.safetensors"), weights).unwrap();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    drop(Model::load(dir, Device::Cpu));
    let taken = MEMORY.peak_usage().saturating_sub(before);
    taken.saturating_sub(8 * (config.len() + weights.len()) + FIXED)
}

/// Other values for keys of config.json.
const VALUES: [&str; 14] = [
    "0",
    "-1",
    "1",
    "3",
    "2147483647",
    "1e308",
    "18446744073709551615",
    "null",
    "true",
    "\"x\"",
    "[]",
    "{}",
    "[1,2]",
    "1e-300",
];

/// One test: the peak of memory is that of the whole process.
#[test]
fn crafted_folders() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/hf");
    let dir = tempfile::tempdir().unwrap();
    for name in ["gpt2-odd", "llama-llama3", "qwen2-some-windows", "gemma3-untied-linear"] {
        let config = fs::read(root.join(name).join("config.json")).unwrap();
        let weights = fs::read(root.join(name).join("model.safetensors")).unwrap();
        assert_eq!(load(dir.path(), &config, &weights), 0, "{name}");

        // Each key, nested ones too, with each of the values.
        let text = String::from_utf8(config.clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once(": ") else { continue };
            for value in VALUES {
                if line.ends_with('{') || line.ends_with('[') {
                    continue;
                }
                let comma = if line.ends_with(',') { "," } else { "" };
                let changed = format!("{key}: {value}{comma}");
                let all: Vec<&str> = (0..lines.len())
                    .map(|i| if i == at { changed.as_str() } else { lines[i] })
                    .collect();
                let over = load(dir.path(), all.join("\n").as_bytes(), &weights);
                assert_eq!(over, 0, "{name}: {changed}");
            }
        }

        let edits = |n: usize| prop::collection::vec((0..n, any::<u8>()), 1..4);
        let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
        let strategy = (edits(config.len()), edits(header), 0..weights.len() * 2, any::<bool>());
        runner(30)
            .run(&strategy, |(config_edits, weight_edits, cut, which)| {
                let (mut c, mut w) = (config.clone(), weights.clone());
                if which {
                    config_edits.into_iter().for_each(|(at, b)| c[at] = b);
                } else {
                    weight_edits.into_iter().for_each(|(at, b)| w[at] = b);
                    w.truncate(cut.max(8));
                }
                prop_assert_eq!(load(dir.path(), &c, &w), 0);
                Ok(())
            })
            .unwrap();
    }
}
