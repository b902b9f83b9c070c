//! What TRL computes of fixed tensors (tests/fixtures/make_rl.py), for tests.

use std::sync::Arc;

use athanor_tensor::{Device, Grads, Tape, Tensor, Var};
use athanor_text::Message;
use serde_json::Value;

use crate::{
    episode::{End, Episode, Turn},
    rollout::EpisodeLogProbs,
};

/// The cases of one algorithm.
pub fn cases(name: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/rl.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    all[name].as_array().unwrap().clone()
}

/// A list of numbers.
pub fn list(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// A list of lists of numbers.
pub fn rows(value: &Value) -> Vec<Vec<f32>> {
    let row = |v: &Value| list(v).into_iter().map(|x| x as f32).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

/// Episodes of one turn with so many tokens each.
pub fn episodes(lengths: impl IntoIterator<Item = usize>, group: usize) -> Vec<Episode> {
    let episode = |(i, n): (usize, usize)| Episode {
        group: i / group,
        record: None,
        opening: Arc::new([]),
        tokens: vec![0; n + 1],
        turns: vec![Turn {
            message: Message::new("assistant", ""),
            tokens: 1..n + 1,
            learned: true,
            reward: 0.0,
        }],
        log_probs: vec![0.0; n],
        end: End::Finished,
    };
    lengths.into_iter().enumerate().map(episode).collect()
}

/// Log-probabilities and values of episodes.
pub fn measured(log_probs: Vec<Vec<f32>>, values: Vec<Vec<f32>>) -> EpisodeLogProbs {
    EpisodeLogProbs { log_probs, values, entropy: 0.0 }
}

/// All rows one after the other.
pub fn flat(rows: &[Vec<f32>]) -> Tensor {
    let all: Vec<f32> = rows.iter().flatten().copied().collect();
    Tensor::from_slice(Device::Cpu, &all, [all.len()])
}

/// A constant of all rows.
pub fn constant(rows: &[Vec<f32>]) -> Var {
    Var::constant(flat(rows))
}

/// Gradients of a loss with respect to leaves.
pub fn gradients(tape: &Tape, loss: &Var, leaves: [&Var; 2]) -> [Vec<f32>; 2] {
    let mut grads = Grads::new();
    tape.backward(loss, &mut grads);
    leaves.map(|leaf| grads.take(leaf).map_or(Vec::new(), |g| g.to_vec()))
}

/// Fails unless numbers are equal within `bound`, absolute and relative.
pub fn close(found: &[f32], expected: &[f32], bound: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= bound * b.abs().max(1.0), "{what}, {i}: {a} and {b}");
    }
}
