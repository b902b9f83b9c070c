//! The whole training step: forward, backward, clipping by the global norm, AdamW. GPT-2's block
//! (LayerNorm, tanh-GELU, learned positions, tied embeddings), no dropout, f32.
//!
//! bench/peers/train_torch.py does the same work in PyTorch: the same sizes and the same tokens.

use std::time::Instant;

use athanor_models::{Head, Input, Model, Pass, Shape, families};
use athanor_store::Result;
use athanor_tensor::{Device, GradSet, Graph, Ids, ops, splitmix64};
use athanor_training::{TrainSection, optimizers::Optimizer};
use serde_json::json;

use crate::{Bench, Options, Row, figure, median, peak_memory, shape};

pub const BENCH: Bench = Bench {
    name: "train",
    about: "a whole GPT training step: forward, backward, clipping, AdamW",
    shapes: &["S", "M"],
    run,
};

/// Sizes of a training step.
pub struct Sizes {
    pub vocabulary: usize,
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub time: usize,
    pub batch: usize,
}

impl Sizes {
    pub fn of(name: &str) -> Self {
        match name {
            "M" => Self { vocabulary: 8192, hidden: 512, layers: 8, heads: 8, time: 512, batch: 4 },
            _ => Self { vocabulary: 4096, hidden: 256, layers: 6, heads: 4, time: 256, batch: 8 },
        }
    }

    pub fn shape(&self) -> Shape {
        Shape {
            vocabulary: self.vocabulary,
            context: self.time,
            hidden: self.hidden,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.heads,
            intermediate: 4 * self.hidden,
            qk_norm: false,
            qkv_bias: false,
            sliding_window: None,
            tied: true,
            rope_theta: 10_000.0,
        }
    }

    fn tokens(&self) -> usize {
        self.batch * self.time
    }
}

/// Batches that the steps take in turn, so that a loss that falls shows real learning.
const BATCHES: u64 = 8;

/// Tokens of a batch and, one place on, its targets: ⌊V·u³⌋ of SplitMix64, common ones more often.
fn tokens(step: u64, sizes: &Sizes) -> (Vec<i32>, Vec<i32>) {
    let count = (sizes.tokens() + sizes.batch) as u64;
    let all: Vec<i32> = (0..count)
        .map(|i| {
            let u = (splitmix64((step % BATCHES) * count + i) >> 11) as f64 / (1u64 << 53) as f64;
            (sizes.vocabulary as f64 * u * u * u) as i32
        })
        .collect();
    let row = sizes.time + 1;
    let cut = |from: usize| -> Vec<i32> {
        all.chunks(row).flat_map(|r| r[from..from + sizes.time].iter().copied()).collect()
    };
    (cut(0), cut(1))
}

fn step(
    model: &mut Model,
    optimizer: &mut Optimizer,
    section: &TrainSection,
    batch: (Vec<i32>, Vec<i32>),
    sizes: &Sizes,
) -> f64 {
    let (ids, targets) = batch;
    let input = Input::causal(Device::Cpu, ids, sizes.batch, sizes.time);
    let count = targets.len();
    let mut grads = GradSet::new();
    let graph = Graph::training(&model.params);
    let hidden = model.hidden(&mut Pass::new(&graph, &input));
    let hidden = ops::reshape(&hidden, [count, sizes.hidden]);
    let targets = Ids::new(Device::Cpu, targets, [count]);
    let weights = vec![1.0 / count as f32; count];
    let (loss, _) = ops::linear_cross_entropy(&hidden, &model.output(&graph), &targets, &weights);
    let value = f64::from(loss.value().item());
    graph.backward(&loss, &mut grads);
    let norm = grads.iter().map(|(_, g)| ops::sum_squares(g)).sum::<f64>().sqrt();
    let scale = if norm > section.clip { section.clip / (norm + 1e-6) } else { 1.0 };
    optimizer.update(model, &grads, section.learning_rate, scale);
    value
}

fn run(options: &Options) -> Result<Vec<Row>> {
    let name = shape(&BENCH, options)?;
    let sizes = Sizes::of(name);
    let section = TrainSection { learning_rate: 3e-4, clip: 1.0, ..TrainSection::default() };
    let family = families::by_name("gpt2")?;
    let mut model = Model::new(family, &sizes.shape(), Head::CAUSAL_LM, 1, Device::Cpu)?;
    let mut optimizer = Optimizer::new(&section, &model);
    let mut losses = Vec::new();
    let mut times = Vec::new();
    let began = Instant::now();
    // The first two steps fill the pool and the caches.
    while times.len() < 5 || began.elapsed().as_secs_f64() < options.seconds {
        options.interrupt.check()?;
        let batch = tokens(losses.len() as u64, &sizes);
        let from = Instant::now();
        losses.push(step(&mut model, &mut optimizer, &section, batch, &sizes));
        if losses.len() > 2 {
            times.push(from.elapsed().as_secs_f64());
        }
    }
    let seconds = median(times);
    let rate = sizes.tokens() as f64 / seconds;
    let flops = model.flops_per_token(sizes.time) * rate;
    let last = losses.len().saturating_sub(BATCHES as usize);
    let figures = json!({
        "tokens_per_second": figure(rate),
        "seconds_per_step": figure(seconds),
        "flops_per_second": figure(flops),
        "share_of_peak": figure(flops / options.limits.flops_per_second),
        "peak_memory_bytes": peak_memory(),
        "loss_first": losses[0],
        "loss_last": losses[last..].iter().sum::<f64>() / (losses.len() - last) as f64,
        "steps": losses.len(),
        "parameters": model.params.count(),
    });
    Ok(vec![Row::new(format!("train {name}"), figures)])
}
