//! The matrix products of a training step, bare: forward, the gradient of the input, the gradient of the weights.

use athanor_models::Shape;
use athanor_store::Result;
use athanor_tensor::{Device, Rng, Tensor, ops};
use serde_json::json;

use crate::{Bench, Options, Row, figure, median, seconds_of, shape, train::Sizes};

const ABOUT: &str = "the training step's matrix products alone, each and all together";

pub const BENCH: Bench = Bench::new("products", ABOUT, &["M", "S"], run);

fn noise(seed: u64, shape: [usize; 2]) -> Tensor {
    let mut values = vec![0.0; shape[0] * shape[1]];
    Rng::new(seed).fill_normal(&mut values, 0.0, 1.0);
    Tensor::from_slice(Device::Cpu, &values, shape)
}

fn run(options: &Options) -> Result<Vec<Row>> {
    let sizes = Sizes::of(shape(&BENCH, options)?);
    let Shape { hidden, vocabulary, intermediate, layers, .. } = sizes.shape();
    let tokens = sizes.batch * sizes.time;
    // Name, in, out, how often in a step.
    let maps = [
        ("qkv", hidden, 3 * hidden, layers),
        ("projection", hidden, hidden, layers),
        ("up", hidden, intermediate, layers),
        ("down", intermediate, hidden, layers),
        ("output", hidden, vocabulary, 1),
    ];
    let share = options.share(3 * maps.len());
    let peak = options.limits.flops_per_second;
    let (mut rows, mut all_flops, mut all_seconds) = (Vec::new(), 0.0, 0.0);
    for (name, inner, out, count) in maps {
        let (x, g) = (noise(1, [tokens, inner]), noise(2, [tokens, out]));
        // GPT-2's maps are stored [in, out], the output embedding [out, in].
        let own = name != "output";
        let w = noise(3, if own { [inner, out] } else { [out, inner] });
        let flops = 2.0 * (tokens * inner * out) as f64;
        let products: [(&str, &dyn Fn() -> Tensor); 3] = [
            ("forward", &|| ops::matmul(&x, &w, [false, !own])),
            ("gradient of the input", &|| ops::matmul(&g, &w, [false, own])),
            ("gradient of the weights", &|| {
                let [left, right] = if own { [&x, &g] } else { [&g, &x] };
                ops::matmul(left, right, [true, false])
            }),
        ];
        for (what, product) in products {
            let seconds = median(seconds_of(&share, || {
                std::hint::black_box(product());
            })?);
            all_flops += flops * count as f64;
            all_seconds += seconds * count as f64;
            rows.push(row(
                format!("{name} [{tokens}, {inner}] → {out} {what}"),
                seconds,
                flops,
                peak,
            ));
        }
    }
    rows.push(row(format!("all {layers} layers and the output"), all_seconds, all_flops, peak));
    Ok(rows)
}

fn row(name: String, seconds: f64, flops: f64, peak: f64) -> Row {
    let rate = flops / seconds;
    let figures = json!({
        "seconds": figure(seconds),
        "flops_per_second": figure(rate),
        "share_of_peak": figure(rate / peak),
    });
    Row::new(name, figures)
}
