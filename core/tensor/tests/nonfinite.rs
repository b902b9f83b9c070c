//! What is not finite must reach the loss: a maximum or an exponential must not swallow it.

use athanor_tensor::{
    Device, Ids, Rng, Tensor, Var,
    ops::{self, Activation, Mask, Qkv, Weights},
};

const CPU: Device = Device::Cpu;

fn values(shape: &[usize], seed: u64) -> Vec<f32> {
    let mut x = vec![0.0; shape.iter().product()];
    Rng::new(seed).fill_normal(&mut x, 0.0, 1.0);
    x
}

/// Runs `op` over normal values with `bad` at places of each input in turn; the sum of the result
/// must not be finite.
fn reaches(name: &str, bad: f32, shapes: &[&[usize]], op: impl Fn(&[Var]) -> Var) {
    for broken in 0..shapes.len() {
        let n: usize = shapes[broken].iter().product();
        for at in [Some(0), Some(n / 2), Some(n - 1), None] {
            let inputs: Vec<Var> = shapes
                .iter()
                .enumerate()
                .map(|(i, shape)| {
                    let mut x = values(shape, i as u64);
                    if i == broken {
                        match at {
                            Some(at) => x[at] = bad,
                            None => x.fill(bad),
                        }
                    }
                    Var::constant(Tensor::from_slice(CPU, &x, *shape))
                })
                .collect();
            let out = ops::sum(&op(&inputs)).value().item();
            assert!(!out.is_finite(), "{name}: {bad} at {at:?} of input {broken} gives {out}");
        }
    }
}

#[test]
fn nan_reaches_the_loss() {
    let nan = f32::NAN;
    for time in [1, 5, 150] {
        for mask in [Mask::causal(), Mask::default()] {
            let shape = [1, time, 2, 5];
            reaches("attention", nan, &[&shape, &shape, &shape], |v| {
                ops::attention(&Qkv::Separate(&v[0], &v[1], &v[2]), 2, 2, 0.4, &mask)
            });
        }
        let shape = [1, time, 2, 5];
        reaches("attention_cached", nan, &[&[1, 1, 2, 5], &shape, &shape], |v| {
            let start = Ids::new(CPU, vec![time as i32 - 1], [1]);
            let [q, k, x] = [0, 1, 2].map(|i| v[i].value());
            Var::constant(ops::attention_cached(q, k, x, &start, 0.4, None))
        });
    }
    let w: &[usize] = &[65];
    let x: &[usize] = &[17, 65];
    reaches("layer_norm", nan, &[x, w, w], |v| ops::layer_norm(&v[0], &v[1], Some(&v[2]), 1e-5));
    reaches("rms_norm", nan, &[x, w], |v| ops::rms_norm(&v[0], &v[1], 1e-5));
    reaches("add_rms_norm", nan, &[x, x, w], |v| ops::add_rms_norm(&v[0], &v[1], &v[2], 1e-5).1);
    reaches("add_layer_norm", nan, &[x, x, w], |v| {
        ops::add_layer_norm(&v[0], &v[1], &v[2], None, 1e-5).1
    });
    let targets = Ids::new(CPU, (0..17).collect(), [17]);
    for vocabulary in [17, 70] {
        let shapes: [&[usize]; 2] = [&[17, 5], &[vocabulary, 5]];
        reaches("linear_cross_entropy", nan, &shapes, |v| {
            ops::linear_cross_entropy(&v[0], &v[1], &targets, &[0.1; 17]).0
        });
        reaches("linear_log_prob", nan, &shapes, |v| {
            ops::linear_log_prob(&v[0], &v[1], &targets, 0.8).log_prob
        });
    }
    reaches("log_softmax", nan, &[x], |v| ops::log_softmax(&v[0]));
    reaches("swiglu", nan, &[x, x], |v| ops::swiglu(&v[0], &v[1]));
    type Two = fn(&Var, &Var) -> Var;
    for op in [ops::minimum, ops::maximum, ops::add, ops::sub, ops::mul, ops::div] as [Two; 6] {
        reaches("binary", nan, &[x, x], |v| op(&v[0], &v[1]));
    }
    type One = fn(&Var) -> Var;
    for op in
        [ops::exp, ops::log, ops::sigmoid, ops::log_sigmoid, ops::square, ops::tanh] as [One; 6]
    {
        reaches("unary", nan, &[x], |v| op(&v[0]));
    }
    reaches("clamp", nan, &[x], |v| ops::clamp(&v[0], -1.0, 1.0));
    for kind in Activation::ALL {
        reaches("activate", nan, &[x], |v| ops::activate(&v[0], kind));
        reaches("linear", nan, &[x, &[3, 65], &[3]], |v| {
            ops::linear(&v[0], &v[1], Some(&v[2]), Weights::OutIn, kind)
        });
    }
}

#[test]
fn infinities_reach_the_loss() {
    let shape = [1, 150, 2, 5];
    let x: &[usize] = &[17, 65];
    let w: &[usize] = &[65];
    let targets = Ids::new(CPU, (0..17).collect(), [17]);
    for bad in [f32::INFINITY, f32::NEG_INFINITY] {
        // Not the keys: a score of -inf beside finite ones is a probability of 0.
        let keys = Var::constant(Tensor::from_slice(CPU, &values(&shape, 9), shape));
        reaches("attention", bad, &[&shape, &shape], |v| {
            ops::attention(&Qkv::Separate(&v[0], &keys, &v[1]), 2, 2, 0.4, &Mask::causal())
        });
        reaches("layer_norm", bad, &[x, w, w], |v| {
            ops::layer_norm(&v[0], &v[1], Some(&v[2]), 1e-5)
        });
        reaches("rms_norm", bad, &[x, w], |v| ops::rms_norm(&v[0], &v[1], 1e-5));
        reaches("linear_cross_entropy", bad, &[&[17, 5], &[70, 5]], |v| {
            ops::linear_cross_entropy(&v[0], &v[1], &targets, &[0.1; 17]).0
        });
    }
    // Finite, but their squares are not: a norm must not turn them into zeros.
    reaches("rms_norm overflow", 1e30, &[x], |v| {
        ops::rms_norm(&v[0], &Var::constant(Tensor::full(CPU, [65], 1.0)), 1e-5)
    });
}
