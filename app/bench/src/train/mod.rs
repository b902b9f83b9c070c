//! The whole training step: forward, backward, clipping by the global norm, AdamW; no dropout, f32.
//!
//! | shape | model | a batch |
//! |---|---|---|
//! | S, M | GPT-2's block (LayerNorm, tanh-GELU, learned positions, tied embeddings) | whole rows |
//! | encoder | BERT-small with its masked-LM head | rows padded to 128, 15 % of the tokens masked |
//! | xlnet | XLNet of that size, two streams, no memory | whole rows, a sixth of the tokens are targets |
//!
//! S-recompute and M-recompute are the same with `train.recompute`.
//!
//! Tokens are those that are not padding. bench/peers/train_torch.py does the same work in PyTorch: the
//! same sizes, tokens, masks and orders.

mod causal;
mod masked;
mod permutation;

use std::time::Instant;

use athanor_models::{Head, Input, Model, Pass, Shape, families};
use athanor_store::Result;
use athanor_tensor::{Device, GradSet, Ids, ops, pool_stats, release_spare, splitmix64};
use athanor_training::{TrainSection, optimizer, optimizers::Optimizer};
use serde_json::json;

use crate::{Bench, Options, Row, figure, forget_peak_memory, median, peak_memory, shape};

const ABOUT: &str =
    "a whole training step of a GPT, an encoder or XLNet: forward, backward, clipping, AdamW";

pub const BENCH: Bench =
    Bench::new("train", ABOUT, &["S", "M", "encoder", "xlnet", "S-recompute", "M-recompute"], run);

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
            "M" | "M-recompute" => {
                Self { vocabulary: 8192, hidden: 512, layers: 8, heads: 8, time: 512, batch: 4 }
            }
            "encoder" | "xlnet" => {
                Self { vocabulary: 30522, hidden: 512, layers: 4, heads: 8, time: 128, batch: 16 }
            }
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
}

/// What a shape trains, and on what.
struct Work {
    family: &'static str,
    head: Head,
    batch: fn(u64, &Sizes, &Model) -> Batch,
}

/// What a step learns from.
struct Batch {
    input: Input,
    /// Rows of the hidden states, flattened, that are asked for a token.
    rows: Vec<i32>,
    targets: Vec<i32>,
    /// Tokens that are not padding.
    tokens: usize,
}

/// Batches that the steps take in turn, so that a loss that falls shows real learning.
const BATCHES: u64 = 8;

/// ⌊below·u³⌋ with u from the i-th number of SplitMix64: common tokens more often.
fn token(i: u64, below: usize) -> i32 {
    let u = (splitmix64(i) >> 11) as f64 / (1u64 << 53) as f64;
    (below as f64 * u * u * u) as i32
}

/// `count` of the places below `among`, in an order that the hash of `first + place` gives.
fn chosen(first: u64, among: usize, count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..among).collect();
    places.sort_by_key(|&p| splitmix64(first + p as u64));
    places.truncate(count);
    places
}

fn step(model: &mut Model, optimizer: &mut Optimizer, section: &TrainSection, batch: Batch) -> f64 {
    let count = batch.targets.len();
    let mut grads = GradSet::new();
    let graph = section.graph(&model.params);
    let hidden = model.hidden(&mut Pass::new(&graph, &batch.input).skip_padding());
    let whole = hidden.value().len() / model.sizes().hidden == count;
    let hidden = match whole {
        true => ops::reshape(&hidden, [count, model.sizes().hidden]),
        false => model.rows(&hidden, batch.rows),
    };
    let targets = Ids::new(Device::Cpu, batch.targets, [count]);
    let weights = vec![1.0 / count as f32; count];
    let (loss, _) = model.token_loss(&graph, &hidden, &targets, &weights);
    drop(hidden);
    let value = f64::from(loss.value().item());
    graph.backward(&loss, &mut grads);
    let norm = grads.iter().map(|(_, g)| ops::sum_squares(g)).sum::<f64>().sqrt();
    let scale = if norm > section.clip { section.clip / (norm + 1e-6) } else { 1.0 };
    optimizer.update(model, &grads, section.peak_learning_rate(), scale);
    value
}

fn run(options: &Options) -> Result<Vec<Row>> {
    let name = shape(&BENCH, options)?;
    let sizes = Sizes::of(name);
    let work = match name {
        "encoder" => masked::WORK,
        "xlnet" => permutation::WORK,
        _ => causal::WORK,
    };
    forget_peak_memory();
    let section = TrainSection {
        learning_rate: Some(3e-4),
        clip: 1.0,
        recompute: name.ends_with("-recompute"),
        ..TrainSection::default()
    };
    let family = families::by_name(work.family)?;
    let mut model = Model::new(family, &sizes.shape(), work.head, 1, Device::Cpu)?;
    let mut optimizer = optimizer(&section, &model)?;
    release_spare();
    let (mut losses, mut times, mut targets) = (Vec::new(), Vec::new(), 0);
    let began = Instant::now();
    // The first two steps fill the pool and the caches.
    while times.len() < 5 || began.elapsed().as_secs_f64() < options.seconds {
        options.interrupt.check()?;
        let batch = (work.batch)(losses.len() as u64 % BATCHES, &sizes, &model);
        let tokens = batch.tokens;
        targets += batch.targets.len();
        let from = Instant::now();
        losses.push(step(&mut model, &mut optimizer, &section, batch));
        if losses.len() > 2 {
            times.push(from.elapsed().as_secs_f64() / tokens as f64);
        }
    }
    let rate = 1.0 / median(times);
    let last = losses.len().saturating_sub(BATCHES as usize);
    let mut figures = json!({
        "tokens_per_second": figure(rate),
        "peak_memory_bytes": peak_memory(),
        "peak_tensors_bytes": pool_stats().peak,
        "peak_pool_bytes": pool_stats().held,
        "loss_first": losses[0],
        "loss_last": losses[last..].iter().sum::<f64>() / (losses.len() - last) as f64,
        "steps": losses.len(),
        "targets_per_step": figure(targets as f64 / losses.len() as f64),
        "parameters": model.params.count(),
    });
    // The count is a decoder's: for the others the logits of all places would be too many.
    if work.head == Head::CAUSAL_LM {
        let flops = model.flops_per_token(sizes.time) * rate;
        figures["flops_per_second"] = figure(flops);
        figures["share_of_peak"] = figure(flops / options.limits.flops_per_second);
    }
    Ok(vec![Row::new(format!("train {name}"), figures)])
}

#[cfg(test)]
mod tests {
    use athanor_models::Extra;

    use super::*;

    fn small(work: &Work) -> Model {
        let family = families::by_name(work.family).unwrap();
        let sizes = Sizes::of("encoder").shape();
        let shape = Shape { hidden: 8, heads: 2, layers: 1, intermediate: 8, ..sizes };
        Model::new(family, &shape, work.head, 1, Device::Cpu).unwrap()
    }

    #[test]
    fn batches_are_what_the_peer_makes() {
        // The same figures as `python bench/peers/train_torch.py --shape encoder --describe`.
        let sizes = Sizes::of("encoder");
        let describe = |b: &Batch| {
            let sum = |x: &[i32]| x.iter().map(|&v| i64::from(v)).sum::<i64>();
            (b.tokens, b.targets.len(), sum(b.input.ids.host()), sum(&b.targets))
        };
        let batch = (masked::WORK.batch)(1, &sizes, &small(&masked::WORK));
        assert_eq!(describe(&batch), (1234, 186, 8_052_246, 1_676_666));
        assert_eq!(batch.rows.iter().sum::<i32>(), 185_617);
        let batch = (permutation::WORK.batch)(1, &sizes, &small(&permutation::WORK));
        assert_eq!(describe(&batch), (2048, 336, 16_085_042, 2_654_542));
        let Extra::TwoStreams(extra) = batch.input.extra else { panic!("two streams") };
        let hidden = extra.permutation.unwrap().to_vec().iter().sum::<f32>();
        assert_eq!(hidden, 39_648.0);
    }

    #[test]
    fn every_kind_of_step_learns() {
        let section = TrainSection { learning_rate: Some(0.01), ..TrainSection::default() };
        for work in [masked::WORK, permutation::WORK] {
            let mut model = small(&work);
            let mut optimizer = optimizer(&section, &model).unwrap();
            let mut next = || {
                let batch = (work.batch)(0, &Sizes::of("encoder"), &model);
                step(&mut model, &mut optimizer, &section, batch)
            };
            let first = next();
            assert!((first - 30522f64.ln()).abs() < 0.1, "{} {first}", work.family);
            assert!(next() < first, "{}", work.family);
        }
    }
}
