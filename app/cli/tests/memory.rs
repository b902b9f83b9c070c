//! The memory of a run is printed before it begins; a run that does not fit fails with a size that does.

mod small;

use std::fs;

use serde_json::Value;
use small::{Small, good, stderr};

/// Sizes that make tensors the larger part of the process.
const LARGE: [&str; 12] = [
    "--set",
    "pretrain.model.hidden_size=256",
    "--set",
    "pretrain.model.layers=6",
    "--set",
    "pretrain.model.context=128",
    "--set",
    "pretrain.train.batch_size=24",
    "--set",
    "pretrain.train.steps=2",
    "--set",
    "pretrain.train.evaluate.items=4",
];

fn summary(small: &Small, run: &str) -> Value {
    let text = fs::read_to_string(small.path(run).join("pretrain/summary.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_memory_of_a_run_is_printed_and_must_fit() {
    let small = Small::new(1000);
    good(&small.command("corpus", "run", &[]).output().unwrap());
    let pretrain = |run: &str, more: &[&str]| {
        let corpus = format!("pretrain.corpus=\"{}\"", small.path("run/corpus").display());
        let all = [&LARGE[..], &["--set", &corpus], more].concat();
        small.command("pretrain", run, &all).output().unwrap()
    };

    let told = good(&pretrain("free", &[]));
    assert!(told.contains("of memory expected"), "{told}");
    let free = summary(&small, "free");
    let of = |summary: &Value, key: &str| summary[key].as_f64().unwrap();
    let expected = of(&free, "expected_memory_bytes");
    let off = expected / of(&free, "resident_memory_bytes") - 1.0;
    assert!(off.abs() < 0.15, "expected {expected}, off by {off:.3}");

    // A third less than it needs.
    let limit = format!("pretrain.train.memory_gigabytes={}", expected * 0.67 / 1e9);
    let refused = pretrain("tight", &["--set", &limit]);
    assert_eq!(refused.status.code(), Some(2));
    let told = stderr(&refused);
    assert!(told.contains("pretrain.train.batch_size: a step of 24 rows needs"), "{told}");
    let fits: String = told
        .split("batch_size = ")
        .nth(1)
        .expect(&told)
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let batch = format!("pretrain.train.batch_size={fits}");
    assert!((4..24).contains(&fits.parse::<usize>().unwrap()), "{told}");
    good(&pretrain("tight", &["--set", &limit, "--set", &batch]));
    assert!(of(&summary(&small, "tight"), "resident_memory_bytes") < expected * 0.67 * 1.15);

    // Nothing of a model that is too large is made.
    let huge = ["--set", "pretrain.model.hidden_size=65536", "--set", "pretrain.model.layers=500"];
    let refused = pretrain("huge", &huge);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("pretrain.model: "), "{}", stderr(&refused));
}
