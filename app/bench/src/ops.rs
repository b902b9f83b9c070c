//! Each op alone, forward and backward apart, at the sizes that a training step has it.

use athanor_models::Shape;
use athanor_store::Result;
use athanor_tensor::{
    Device, Grads, Ids, Rng, Tape, Tensor, Var,
    ops::{self, Activation, Mask, Qkv, Weights},
};
use serde_json::json;

use crate::{Bench, Options, Row, figure, median, seconds_of, shape, train::Sizes};

pub const BENCH: Bench = Bench {
    name: "ops",
    about: "each op of a training step alone, with its share of the peak",
    shapes: &["S", "M"],
    run,
};

/// A random tensor.
fn noise(seed: u64, shape: &[usize]) -> Tensor {
    let mut values = vec![0.0; shape.iter().product()];
    Rng::new(seed).fill_normal(&mut values, 0.0, 1.0);
    Tensor::from_slice(Device::Cpu, &values, shape)
}

/// An op over its inputs.
type Forward<'a> = dyn Fn(&[Var]) -> Var + 'a;

/// What is measured of an op.
struct Op<'a> {
    name: String,
    /// Multiplications and additions of matrix products, forward.
    flops: f64,
    /// Those of the backward pass over those of the forward pass.
    backward: f64,
    inputs: Vec<Tensor>,
    forward: Box<Forward<'a>>,
}

fn measure(op: &Op<'_>, options: &Options, rows: &mut Vec<Row>) -> Result<()> {
    let constants: Vec<Var> = op.inputs.iter().cloned().map(Var::constant).collect();
    let forward = median(seconds_of(options, || {
        std::hint::black_box((op.forward)(&constants));
    })?);
    let both = median(seconds_of(options, || {
        let tape = Tape::new();
        let leaves: Vec<Var> = op.inputs.iter().map(|t| tape.leaf(t.clone())).collect();
        let out = (op.forward)(&leaves);
        let loss = if out.value().len() == 1 { out } else { ops::sum(&out) };
        let mut grads = Grads::new();
        tape.backward(&loss, &mut grads);
        std::hint::black_box(leaves.iter().map(|l| grads.take(l)).collect::<Vec<_>>());
    })?);
    let mut row = |what: &str, seconds: f64, flops: f64| {
        let mut figures = json!({ "seconds": figure(seconds) });
        if flops > 0.0 {
            figures["flops_per_second"] = figure(flops / seconds);
            figures["share_of_peak"] = figure(flops / seconds / options.limits.flops_per_second);
        }
        rows.push(Row::new(format!("{} {what}", op.name), figures));
    };
    row("forward", forward, op.flops);
    row("forward + backward", both, op.flops * (1.0 + op.backward));
    Ok(())
}

fn linear<'a>(name: &str, rows: usize, inner: usize, out: usize, activation: Activation) -> Op<'a> {
    Op {
        name: format!("linear {name} [{rows}, {inner}] → {out}"),
        flops: 2.0 * (rows * inner * out) as f64,
        backward: 2.0,
        inputs: vec![noise(1, &[rows, inner]), noise(2, &[inner, out]), noise(3, &[out])],
        forward: Box::new(move |v| {
            ops::linear(&v[0], &v[1], Some(&v[2]), Weights::InOut, activation)
        }),
    }
}

fn run(options: &Options) -> Result<Vec<Row>> {
    let sizes = Sizes::of(shape(&BENCH, options)?);
    let Shape { hidden, heads, vocabulary, intermediate, .. } = sizes.shape();
    let (batch, time) = (sizes.batch, sizes.time);
    let (tokens, dim) = (batch * time, hidden / heads);
    let targets = Ids::new(
        Device::Cpu,
        (0..tokens).map(|i| (i * 7919 % vocabulary) as i32).collect(),
        [tokens],
    );
    let all = [
        linear("qkv", tokens, hidden, 3 * hidden, Activation::None),
        linear("projection", tokens, hidden, hidden, Activation::None),
        linear("up + GELU", tokens, hidden, intermediate, Activation::GeluTanh),
        linear("down", tokens, intermediate, hidden, Activation::None),
        Op {
            name: format!("causal attention [{batch}, {heads}, {time}, {dim}]"),
            // Half of the scores are never computed; backward has five products for two.
            flops: 2.0 * (batch * heads * time * time * dim) as f64,
            backward: 2.5,
            inputs: vec![noise(4, &[batch, time, 3 * hidden])],
            forward: Box::new(move |v| {
                let scale = 1.0 / (dim as f32).sqrt();
                ops::attention(&Qkv::Packed(&v[0]), heads, heads, scale, &Mask::causal())
            }),
        },
        Op {
            name: format!("linear + cross-entropy [{tokens}, {hidden}] → {vocabulary}"),
            flops: 2.0 * (tokens * hidden * vocabulary) as f64,
            backward: 2.0,
            inputs: vec![noise(5, &[tokens, hidden]), noise(6, &[vocabulary, hidden])],
            forward: Box::new(move |v| {
                let weights = vec![1.0 / tokens as f32; tokens];
                ops::linear_cross_entropy(&v[0], &v[1], &targets, &weights).0
            }),
        },
        Op {
            name: format!("add + layer norm [{tokens}, {hidden}]"),
            flops: 0.0,
            backward: 0.0,
            inputs: vec![
                noise(7, &[tokens, hidden]),
                noise(8, &[tokens, hidden]),
                noise(9, &[hidden]),
                noise(10, &[hidden]),
            ],
            forward: Box::new(|v| {
                let (sum, normed) = ops::add_layer_norm(&v[0], &v[1], &v[2], Some(&v[3]), 1e-5);
                ops::add(&sum, &normed)
            }),
        },
    ];
    let mut rows = Vec::new();
    let share = Options {
        shape: None,
        seconds: options.seconds / (2 * all.len()) as f64,
        limits: options.limits,
        interrupt: options.interrupt.clone(),
    };
    for op in &all {
        measure(op, &share, &mut rows)?;
    }
    Ok(rows)
}
