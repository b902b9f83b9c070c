//! Writing text with a KV cache: greedy, so that every row goes to its end.

use std::time::Instant;

use athanor_generation::{Sampling, generate};
use athanor_models::{Head, Model, Shape, families};
use athanor_store::Result;
use athanor_tensor::{Device, release_spare, splitmix64};
use serde_json::json;

use crate::{Bench, Options, Row, figure, forget_peak_memory, median, peak_memory, shape};

const ABOUT: &str = "tokens written a second by a llama of 30 million parameters, at batch 1, 8 and 32, with f32 and int8 weights";

pub const BENCH: Bench = Bench::new("decode", ABOUT, &["30M"], run);

/// Tokens read and written by each row.
const PROMPT: usize = 32;
const NEW: usize = 96;

/// 30 million parameters.
pub fn model() -> Result<Model> {
    let sizes = Shape {
        vocabulary: 8192,
        context: 512,
        hidden: 512,
        layers: 8,
        heads: 8,
        kv_heads: 8,
        intermediate: 1408,
        qk_norm: false,
        qkv_bias: false,
        sliding_window: None,
        tied: true,
        rope_theta: 10_000.0,
    };
    Model::new(families::by_name("llama")?, &sizes, Head::CAUSAL_LM, 1, Device::Cpu)
}

fn run(options: &Options) -> Result<Vec<Row>> {
    shape(&BENCH, options)?;
    let sampling = Sampling { temperature: 0.0, max_new_tokens: NEW, ..Sampling::default() };
    let mut rows = Vec::new();
    for (weights, prefix) in [("f32", "decode"), ("int8", "decode int8")] {
        let mut model = model()?;
        let parameters = model.params.count();
        if weights == "int8" {
            model.quantise()?;
        }
        for batch in [1usize, 8, 32] {
            let token = |i| (splitmix64(i as u64) % 8192) as u32;
            let prompts: Vec<Vec<u32>> =
                (0..batch).map(|b| (0..PROMPT).map(|i| token(b * PROMPT + i)).collect()).collect();
            let mut times = Vec::new();
            forget_peak_memory();
            let began = Instant::now();
            while times.len() < 3 || began.elapsed().as_secs_f64() < options.seconds / 6.0 {
                options.interrupt.check()?;
                let from = Instant::now();
                generate(&model, &prompts, &[], &sampling, 0)?;
                times.push(from.elapsed().as_secs_f64());
            }
            let seconds = median(times);
            rows.push(Row::new(
                format!("{prefix} batch {batch}"),
                json!({
                    "tokens_per_second": figure((batch * NEW) as f64 / seconds),
                    "seconds": figure(seconds),
                    "parameters": parameters,
                    "peak_memory_bytes": peak_memory(),
                    "weights": weights,
                }),
            ));
            release_spare();
        }
    }
    Ok(rows)
}
