//! Elementwise functions, sums and dropout.

use athanor_tensor::{
    DType, Grads, Rng, Tape, Tensor, Var,
    ops::{self, Activation},
};
use proptest::prelude::*;

use crate::{common::*, dense::activation};

const LENGTHS: [usize; 6] = [1, 3, 17, 65, 130, 20_000];

fn one(name: &str, positive: bool, op: fn(&Var) -> Var, want: fn(f64) -> f64) {
    for n in LENGTHS {
        let mut x = normal(&[n], 1);
        if positive {
            x.0.iter_mut().for_each(|v| *v = v.abs() + 0.3);
        }
        check(
            &format!("{name} {n}"),
            &[x],
            |v| vec![op(&v[0])],
            |x| vec![x[0].iter().map(|&v| want(v)).collect()],
        );
    }
}

fn two(name: &str, op: fn(&Var, &Var) -> Var, want: fn(f64, f64) -> f64) {
    for n in LENGTHS {
        let mut b = normal(&[n], 2);
        // Away from 0 for the quotient.
        b.0.iter_mut().for_each(|v| *v += 0.5f32.copysign(*v));
        check(
            &format!("{name} {n}"),
            &[normal(&[n], 1), b],
            |v| vec![op(&v[0], &v[1])],
            |x| vec![x[0].iter().zip(&x[1]).map(|(&a, &b)| want(a, b)).collect()],
        );
    }
}

#[test]
fn of_one_value() {
    one("exp", false, ops::exp, f64::exp);
    one("log", true, ops::log, f64::ln);
    one("sigmoid", false, ops::sigmoid, |v| 1.0 / (1.0 + (-v).exp()));
    one("log_sigmoid", false, ops::log_sigmoid, |v| -(-v).exp().ln_1p());
    one("square", false, ops::square, |v| v * v);
    one("tanh", false, ops::tanh, f64::tanh);
    one("neg", false, ops::neg, |v| -v);
    one("scale", false, |x| ops::scale(x, 1.7), |v| v * f64::from(1.7f32));
    one("add_scalar", false, |x| ops::add_scalar(x, -0.4), |v| v - f64::from(0.4f32));
    one("clamp", false, |x| ops::clamp(x, -0.7, 0.5), |v| v.clamp(f64::from(-0.7f32), 0.5));
}

#[test]
fn of_two_values() {
    two("add", ops::add, |a, b| a + b);
    two("sub", ops::sub, |a, b| a - b);
    two("mul", ops::mul, |a, b| a * b);
    two("div", ops::div, |a, b| a / b);
    two("minimum", ops::minimum, f64::min);
    two("maximum", ops::maximum, f64::max);
    two("swiglu", ops::swiglu, |a, b| a / (1.0 + (-a).exp()) * b);
}

#[test]
fn activations() {
    for kind in Activation::ALL {
        for n in LENGTHS {
            check(
                &format!("activate {kind:?} {n}"),
                &[normal(&[n], 1)],
                |v| vec![ops::activate(&v[0], kind)],
                |x| vec![x[0].iter().map(|&v| activation(kind, v)).collect()],
            );
        }
    }
}

#[test]
fn far_arguments() {
    let x: Vec<f32> = (-400..=400).map(|i| i as f32 * 0.5).collect();
    let v = Var::constant(Tensor::from_slice(device(), &x, [x.len()]));
    let run = |name: &str, y: Var, want: &dyn Fn(f64) -> f64| {
        for (i, (&x, got)) in x.iter().zip(y.value().to_vec()).enumerate() {
            let want = want(f64::from(x));
            assert!(
                (f64::from(got) - want).abs() <= 1e-6 * want.abs().max(1.0),
                "{name}({x}) [{i}] = {got}, not {want}"
            );
        }
    };
    run("sigmoid", ops::sigmoid(&v), &|v| 1.0 / (1.0 + (-v).exp()));
    run("log_sigmoid", ops::log_sigmoid(&v), &|v| v.min(0.0) - (-v.abs()).exp().ln_1p());
    run("tanh", ops::tanh(&v), &f64::tanh);
    for kind in Activation::ALL {
        run(&format!("{kind:?}"), ops::activate(&v, kind), &|v| activation(kind, v));
    }
}

#[test]
fn sums() {
    for n in LENGTHS {
        check(
            &format!("sum {n}"),
            &[normal(&[n], 1)],
            |v| vec![ops::sum(&v[0]), ops::mean(&v[0])],
            |x| {
                let total: f64 = x[0].iter().sum();
                vec![vec![total], vec![total / n as f64]]
            },
        );
    }
    check(
        "reshape",
        &[normal(&[3, 5], 1)],
        |v| {
            let y = ops::reshape(&v[0], [5, 3]);
            assert_eq!(y.shape()[..], [5, 3]);
            vec![y]
        },
        |x| vec![x[0].clone()],
    );
}

#[test]
fn ties_and_infinities() {
    let tape = Tape::new();
    let a = tape.leaf(Tensor::from_slice(device(), &[1.0, 2.0], [2]));
    let b = tape.leaf(Tensor::from_slice(device(), &[1.0, 2.0], [2]));
    let mut grads = Grads::new();
    let y = ops::add(&ops::minimum(&a, &b), &ops::maximum(&a, &b));
    tape.backward(&ops::sum(&y), &mut grads);
    assert_eq!(grads.take(&a).unwrap().to_vec(), [2.0, 2.0]);
    assert_eq!(grads.take(&b).unwrap().to_vec(), [0.0, 0.0]);
}

#[test]
fn dropout() {
    let key = Rng::new(7).fork("dropout").at(3);
    for n in [1, 3, 5, 17, 65, 130, 40_001] {
        let ones = Var::constant(Tensor::full(device(), [n], 1.0));
        let p = 0.3f32;
        let mask = ops::dropout(&ones, p, key).value().to_vec();
        let keep = 1.0 / (1.0 - p);
        assert!(mask.iter().all(|&v| v == 0.0 || v == keep));
        let mask = wide(&mask);
        check(
            &format!("dropout {n}"),
            &[normal(&[n], 1)],
            |v| vec![ops::dropout(&v[0], p, key)],
            |x| vec![x[0].iter().zip(&mask).map(|(a, m)| a * m).collect()],
        );
        if n > 40_000 {
            let rate = mask.iter().filter(|&&v| v == 0.0).count() as f64 / n as f64;
            assert!((rate - 0.3).abs() < 0.01, "rate {rate}");
            let other = ops::dropout(&ones, p, key.at(1)).value().to_vec();
            let same = other.iter().zip(&mask).filter(|(a, b)| f64::from(**a) == **b).count();
            // Independent masks agree with probability p² + (1-p)² = 0.58.
            assert!((same as f64 / n as f64 - 0.58).abs() < 0.01);
            // An element's choice depends on its index alone, not on the array's length.
            let short = Var::constant(Tensor::full(device(), [20_003], 1.0));
            let short = ops::dropout(&short, p, key).value().to_vec();
            assert!(short.iter().zip(&mask).all(|(a, b)| f64::from(*a) == *b));
        }
    }
    let x = Var::constant(Tensor::full(device(), [5], 2.0));
    assert_eq!(ops::dropout(&x, 0.0, key).value().to_vec(), [2.0; 5]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shapes_and_shared_memory(sizes in prop::collection::vec(1usize..6, 0..6), c in -9.0f32..9.0) {
        let n: usize = sizes.iter().product();
        let t = Tensor::full(device(), &sizes[..], c);
        prop_assert_eq!(&t.shape()[..], &sizes[..]);
        prop_assert_eq!(t.len(), n);
        // Writing to one clone leaves the other; the copy is exact.
        let mut other = t.reshape([n]);
        ops::scale_in_place(&mut other, 2.0);
        prop_assert!(t.to_vec().iter().all(|&v| v == c));
        prop_assert!(other.to_vec().iter().all(|&v| v == 2.0 * c));
    }

    #[test]
    fn reused_memory_is_clean(lengths in prop::collection::vec(0usize..5000, 1..8)) {
        for &n in &lengths {
            drop(Tensor::full(device(), [n], f32::NAN));
            prop_assert!(Tensor::zeros(device(), [n]).to_vec().iter().all(|&v| v == 0.0));
        }
        let alive: Vec<Tensor> =
            lengths.iter().enumerate().map(|(i, &n)| Tensor::full(device(), [n], i as f32)).collect();
        let floats: usize = lengths.iter().sum();
        let stats = athanor_tensor::pool_stats();
        prop_assert!(stats.in_use >= floats * 4 && stats.peak >= stats.in_use.min(floats * 4));
        for (i, t) in alive.iter().enumerate() {
            prop_assert!(t.to_vec().iter().all(|&v| v == i as f32));
        }
    }

    #[test]
    fn linear_of_any_size(rows in 1usize..40, inner in 1usize..40, out in 1usize..40) {
        let (x, w) = (normal(&[rows, inner], 5), normal(&[out, inner], 6));
        let y = ops::linear(
            &Var::constant(Tensor::from_slice(device(), &x.0, [rows, inner])),
            &Var::constant(Tensor::from_slice(device(), &w.0, [out, inner])),
            None,
            ops::Weights::OutIn,
            Activation::None,
        );
        let want = product([rows, out, inner], &wide(&x.0), (inner, 1), &wide(&w.0), (1, inner));
        close("linear", &y.value().to_vec(), &want, 1e-5);
    }
}

/// Rounded to bf16 and back: within half a step of 2^-8, and a gradient that passes the same way.
#[test]
fn cast_to_bf16_and_back() {
    let x = normal(&[7, 5], 1);
    let given = run("cast", std::slice::from_ref(&x), |v| {
        let narrow = ops::cast(&v[0], DType::Bf16);
        assert_eq!(
            (narrow.value().dtype(), narrow.shape()[..].to_vec()),
            (DType::Bf16, vec![7, 5])
        );
        vec![ops::cast(&narrow, DType::F32)]
    });
    for (got, want) in given.outputs[0].iter().zip(&x.0) {
        assert!((got - want).abs() <= want.abs() / 256.0, "{got}, not {want}");
    }
    assert!(given.outputs[0] != x.0);
    // The gradient is the cotangent in bf16.
    let tape = Tape::new();
    let leaf = tape.leaf(Tensor::from_slice(device(), &[1.0], [1]));
    let loss = ops::scale(&ops::cast(&ops::cast(&leaf, DType::Bf16), DType::F32), 1.003);
    let mut grads = Grads::new();
    tape.backward(&loss, &mut grads);
    assert_eq!(grads.take(&leaf).unwrap().to_vec(), [1.0]);
}

#[test]
#[should_panic(expected = "cast it first")]
fn an_op_in_f32_refuses_bf16() {
    ops::exp(&Var::constant(Tensor::zeros_of(DType::Bf16, device(), [3])));
}
