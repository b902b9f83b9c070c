//! Each op alone, forward and backward apart, at the sizes that a training step has it. Those that multiply
//! matrices have a share of the multiply-add peak; the others wait for memory and have a share of its
//! bandwidth, counting each input, output and gradient once; it is above 100 % where they lie in a cache.

use athanor_models::Shape;
use athanor_store::Result;
use athanor_tensor::{
    Device, Grads, Ids, Rng, Tape, Tensor, Var,
    ops::{self, Activation, Affine, Mask, Qkv, Relative, RelativeMask, Rotary, Weights},
};
use serde_json::json;

use crate::{Bench, Options, Row, figure, median, seconds_of, shape, train::Sizes};

const ABOUT: &str = "each op of a training step alone, with its share of the peak";

pub const BENCH: Bench = Bench::new("ops", ABOUT, &["S", "M"], run);

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
    /// Whether the first input is a table, read row by row.
    table: bool,
    inputs: Vec<Tensor>,
    forward: Box<Forward<'a>>,
}

impl<'a> Op<'a> {
    /// One that multiplies no matrices.
    fn light(name: String, inputs: Vec<Tensor>, forward: impl Fn(&[Var]) -> Var + 'a) -> Self {
        let forward = Box::new(forward);
        Self { name, flops: 0.0, backward: 0.0, table: false, inputs, forward }
    }
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
    let out = (op.forward)(&constants).value().len();
    let bytes = |times: usize, table: usize| {
        let inputs: usize = op.inputs.iter().map(Tensor::len).sum();
        4.0 * ((inputs - table) * times + table * (times - 1) + out) as f64
    };
    // Of a table only the rows asked for are read; its gradient is as large as it is.
    let table = if op.table { op.inputs[0].len() - out } else { 0 };
    let mut row = |what: &str, seconds: f64, flops: f64, bytes: f64| {
        let mut figures = json!({ "seconds": figure(seconds) });
        if flops > 0.0 {
            figures["flops_per_second"] = figure(flops / seconds);
            figures["share_of_peak"] = figure(flops / seconds / options.limits.flops_per_second);
        } else {
            let share = bytes / seconds / options.limits.copy_bytes_per_second;
            figures["share_of_bandwidth"] = figure(share);
        }
        rows.push(Row::new(format!("{} {what}", op.name), figures));
    };
    row("forward", forward, op.flops, bytes(1, table));
    row("forward + backward", both, op.flops * (1.0 + op.backward), bytes(2, table));
    Ok(())
}

fn linear<'a>(name: &str, rows: usize, inner: usize, out: usize, activation: Activation) -> Op<'a> {
    Op {
        name: format!("linear {name} [{rows}, {inner}] → {out}"),
        flops: 2.0 * (rows * inner * out) as f64,
        backward: 2.0,
        table: false,
        inputs: vec![noise(1, &[rows, inner]), noise(2, &[inner, out]), noise(3, &[out])],
        forward: Box::new(move |v| {
            ops::linear(&v[0], &v[1], Some(&v[2]), Weights::InOut, activation)
        }),
    }
}

/// XLNet's content stream over whole rows: contents, distances and segments.
fn relative<'a>(batch: usize, time: usize, heads: usize, dim: usize) -> Op<'a> {
    let rows = [batch, time, heads, dim];
    let types = (0..batch * time).map(|i| i32::from(i % time >= time / 2)).collect();
    let types = Some(Ids::new(Device::Cpu, types, [batch, time]));
    let mask = RelativeMask { own: true, types, ..RelativeMask::default() };
    Op {
        name: format!("relative attention [{batch}, {heads}, {time}, {dim}]"),
        // Contents and values; a score by distance has a product of its own, a segment's is one of two.
        flops: 6.0 * (batch * heads * time * time * dim) as f64,
        backward: 2.5,
        table: false,
        inputs: vec![
            noise(31, &rows),
            noise(32, &rows),
            noise(33, &rows),
            noise(34, &[2 * time, heads, dim]),
            noise(35, &[heads, dim]),
            noise(36, &[heads, dim]),
            noise(37, &[heads, dim]),
            noise(38, &[2, heads, dim]),
        ],
        forward: Box::new(move |v| {
            ops::relative_attention(&Relative::new(v), time, 1.0 / (dim as f32).sqrt(), &mask)
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
    let positions = (0..tokens).map(|i| (i % time) as i32).collect();
    let positions = Ids::new(Device::Cpu, positions, [batch, time]);
    let frequencies: Vec<f64> =
        (0..dim / 2).map(|i| 10_000f64.powf(-2.0 * i as f64 / dim as f64)).collect();
    let rotary = Rotary::new(Device::Cpu, time, &frequencies);
    let ids = &targets;
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
            table: false,
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
            table: false,
            inputs: vec![noise(5, &[tokens, hidden]), noise(6, &[vocabulary, hidden])],
            forward: Box::new(move |v| {
                let weights = vec![1.0 / tokens as f32; tokens];
                ops::linear_cross_entropy(&v[0], &v[1], ids, &weights).0
            }),
        },
        Op {
            name: format!("feed forward + GELU [{tokens}, {hidden}] → {intermediate}"),
            flops: 4.0 * (tokens * hidden * intermediate) as f64,
            backward: 2.0,
            table: false,
            inputs: vec![
                noise(11, &[tokens, hidden]),
                noise(12, &[hidden, intermediate]),
                noise(13, &[intermediate]),
                noise(14, &[intermediate, hidden]),
                noise(15, &[hidden]),
            ],
            forward: Box::new(|v| {
                let up = Affine { weight: &v[1], bias: &v[2] };
                let down = Affine { weight: &v[3], bias: &v[4] };
                ops::feed_forward(&v[0], up, down, Weights::InOut, Activation::GeluTanh)
            }),
        },
        relative(batch, time, heads, dim),
        Op {
            table: true,
            ..Op::light(
                format!("embedding [{vocabulary}, {hidden}] → {tokens}"),
                vec![noise(16, &[vocabulary, hidden])],
                |v| ops::embedding(&v[0], &targets),
            )
        },
        Op::light(
            format!("add + layer norm [{tokens}, {hidden}]"),
            vec![
                noise(7, &[tokens, hidden]),
                noise(8, &[tokens, hidden]),
                noise(9, &[hidden]),
                noise(10, &[hidden]),
            ],
            |v| {
                let (sum, normed) = ops::add_layer_norm(&v[0], &v[1], &v[2], Some(&v[3]), 1e-5);
                ops::add(&sum, &normed)
            },
        ),
        Op::light(
            format!("add + RMS norm [{tokens}, {hidden}]"),
            vec![noise(17, &[tokens, hidden]), noise(18, &[tokens, hidden]), noise(19, &[hidden])],
            |v| {
                let (sum, normed) = ops::add_rms_norm(&v[0], &v[1], &v[2], 1e-5);
                ops::add(&sum, &normed)
            },
        ),
        Op::light(
            format!("rotary [{batch}, {time}, {heads}, {dim}]"),
            vec![noise(20, &[batch, time, heads, dim])],
            |v| ops::rotary(&v[0], &positions, &rotary),
        ),
        Op::light(
            format!("gated SiLU [{tokens}, {intermediate}]"),
            vec![noise(21, &[tokens, intermediate]), noise(22, &[tokens, intermediate])],
            |v| ops::swiglu(&v[0], &v[1]),
        ),
        Op::light(
            format!("GELU [{tokens}, {intermediate}]"),
            vec![noise(23, &[tokens, intermediate])],
            |v| ops::activate(&v[0], Activation::GeluTanh),
        ),
        Op::light(
            format!("dropout [{tokens}, {hidden}]"),
            vec![noise(24, &[tokens, hidden])],
            |v| ops::dropout(&v[0], 0.1, Rng::new(1)),
        ),
    ];
    let mut rows = Vec::new();
    let share = options.share(2 * all.len());
    for op in &all {
        measure(op, &share, &mut rows)?;
    }
    Ok(rows)
}
