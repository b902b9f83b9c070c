//! The same bytes on any number of threads, and twice in a row.

use athanor_tensor::{
    Device, GradSet, Graph, Ids, Params, Rng, Tensor,
    ops::{self, Activation, AdamW, Mask, Qkv, Rotary, Weights},
};

const CPU: Device = Device::Cpu;
const BATCH: usize = 3;
const TIME: usize = 150;
const HEADS: usize = 6;
const KV: usize = 2;
const DIM: usize = 18;
const WIDTH: usize = HEADS * DIM;
const INNER: usize = 290;
const VOCABULARY: usize = 5003;

fn params() -> Params {
    let mut params = Params::new();
    for (name, shape) in [
        ("table", &[VOCABULARY, WIDTH][..]),
        ("norm1", &[WIDTH]),
        ("qkv", &[(HEADS + 2 * KV) * DIM, WIDTH]),
        ("q", &[WIDTH, WIDTH]),
        ("kv", &[KV * DIM, WIDTH]),
        ("out", &[WIDTH, WIDTH]),
        ("out.bias", &[WIDTH]),
        ("norm2", &[WIDTH]),
        ("gate", &[INNER, WIDTH]),
        ("up", &[INNER, WIDTH]),
        ("down", &[INNER, WIDTH]),
        ("norm3", &[WIDTH]),
        ("norm3.bias", &[WIDTH]),
        ("head", &[VOCABULARY, WIDTH]),
    ] {
        let mut values = vec![0.0; shape.iter().product()];
        let spread = if shape.len() == 1 { 0.3 } else { 0.1 };
        let mean = if shape.len() == 1 { 1.0 } else { 0.0 };
        Rng::new(3).fork(name).fill_normal(&mut values, mean, spread);
        params.insert(name, Tensor::from_slice(CPU, &values, shape));
    }
    params
}

fn ids(seed: u64) -> Ids {
    let rng = Rng::new(seed);
    let values = (0..BATCH * TIME).map(|i| rng.below(i as u64, VOCABULARY as u64) as i32);
    Ids::new(CPU, values.collect(), [BATCH, TIME])
}

/// Losses, gradients and updated parameters of two steps, as bits.
fn train() -> Vec<Vec<u32>> {
    let mut params = params();
    let mut found: Vec<Vec<u32>> = Vec::new();
    let mut keep =
        |t: &Tensor| found.push(t.with_host(|v| v.iter().map(|x| x.to_bits()).collect()));
    let frequencies: Vec<f64> = (0..DIM / 2).map(|i| 0.1f64.powi(i as i32)).collect();
    let rotary = Rotary::new(CPU, TIME, &frequencies);
    let places =
        Ids::new(CPU, (0..BATCH * TIME).map(|i| (i % TIME) as i32).collect(), [BATCH, TIME]);
    let documents =
        Ids::new(CPU, (0..BATCH * TIME).map(|i| (i / 70) as i32).collect(), [BATCH, TIME]);
    let mask = Mask { documents: Some(documents), ..Mask::causal() };
    let scale = 1.0 / (DIM as f32).sqrt();
    for step in 1..=2u64 {
        let mut sums = GradSet::new();
        {
            let g = Graph::training(&params);
            let get = |name| g.param(params.find(name).unwrap());
            let linear = |x, w, kind| ops::linear(x, &get(w), None, Weights::OutIn, kind);
            let x = ops::embedding(&get("table"), &ids(step));
            let h = ops::rms_norm(&x, &get("norm1"), 1e-5);
            let packed = linear(&h, "qkv", Activation::None);
            let a = ops::attention(&Qkv::Packed(&packed), HEADS, KV, scale, &mask);
            let q = ops::reshape(&linear(&h, "q", Activation::None), [BATCH, TIME, HEADS, DIM]);
            let k = ops::reshape(&linear(&h, "kv", Activation::None), [BATCH, TIME, KV, DIM]);
            let (q, k) = (ops::rotary(&q, &places, &rotary), ops::rotary(&k, &places, &rotary));
            let b = ops::attention(&Qkv::Separate(&q, &k, &k), HEADS, KV, scale, &Mask::default());
            let a = ops::linear(
                &ops::add(&a, &b),
                &get("out"),
                Some(&get("out.bias")),
                Weights::InOut,
                Activation::GeluTanh,
            );
            let a = ops::dropout(&a, 0.1, Rng::new(9).at(step));
            let (x, h) = ops::add_rms_norm(&x, &a, &get("norm2"), 1e-5);
            let inner = ops::swiglu(
                &linear(&h, "gate", Activation::None),
                &linear(&h, "up", Activation::Gelu),
            );
            let y = ops::linear(&inner, &get("down"), None, Weights::InOut, Activation::None);
            let (_, h) = ops::add_layer_norm(&x, &y, &get("norm3"), Some(&get("norm3.bias")), 1e-5);
            let weights = vec![1.0 / (BATCH * TIME) as f32; BATCH * TIME];
            let (loss, each) =
                ops::linear_cross_entropy(&h, &get("head"), &ids(step + 7), &weights);
            let logp = ops::linear_log_prob(&h, &get("head"), &ids(step + 8), 0.9);
            let loss = ops::sub(&loss, &ops::mean(&logp.log_prob));
            let loss = ops::add(&loss, &ops::mean(&ops::square(&ops::log_softmax(&h))));
            keep(loss.value());
            keep(&each);
            keep(&logp.entropy);
            g.backward(&loss, &mut sums);
        }
        for (i, grad) in sums.iter() {
            keep(grad);
            keep(&Tensor::scalar(CPU, ops::sum_squares(grad) as f32));
            if grad.shape().len() == 2 && grad.len() < 100_000 {
                keep(&ops::newton_schulz(grad, false));
            }
            let id = params.find(&params.iter().nth(i).unwrap().name.clone()).unwrap();
            let p = params.get_mut(id);
            let (mut m, mut v) = (Tensor::zeros(CPU, *p.shape()), Tensor::zeros(CPU, *p.shape()));
            let settings = AdamW {
                learning_rate: 1e-2,
                beta1: 0.9,
                beta2: 0.95,
                epsilon: 1e-8,
                weight_decay: 0.1,
                grad_scale: 0.7,
            };
            ops::adamw(p, grad, &mut m, &mut v, settings, step);
            keep(p);
        }
    }
    found
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let on = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(train)
    };
    let first = on(1);
    assert!(first.iter().flatten().all(|&b| f32::from_bits(b).is_finite()));
    assert!(first.len() > 60);
    for threads in [1, 2, 3, 5] {
        let again = on(threads);
        for (i, (a, b)) in first.iter().zip(&again).enumerate() {
            assert!(a == b, "array {i} differs on {threads} threads");
        }
    }
}
