//! Gradients that meet: a value used twice, sums over passes, frozen parameters.

use athanor_tensor::{
    GradSet, Grads, Graph, Params, Tape, Tensor, Var,
    ops::{self, Activation, Weights},
};

use crate::common::*;

#[test]
fn a_value_used_many_times() {
    let swish = |v: f64| v / (1.0 + (-v).exp());
    check(
        "x·x + x + silu(x)·x",
        &[normal(&[3, 17], 1)],
        |v| {
            let x = &v[0];
            let sum = ops::add(&ops::mul(x, x), x);
            vec![ops::add(&sum, &ops::swiglu(x, x)), ops::add(x, x)]
        },
        |x| {
            let y = x[0].iter().map(|&v| v * v + v + swish(v) * v).collect();
            vec![y, x[0].iter().map(|v| 2.0 * v).collect()]
        },
    );
    // Sums in place: a weight used by two products, a value by a product and beside it.
    check(
        "tied weights",
        &[normal(&[5, 5], 1), normal(&[5, 5], 2)],
        |v| {
            let y = ops::linear(&v[0], &v[1], None, Weights::OutIn, Activation::None);
            let y = ops::add(&y, &v[0]);
            let y = ops::linear(&y, &v[1], None, Weights::InOut, Activation::None);
            vec![ops::add(&y, &v[0]), y]
        },
        |x| {
            let mut y = product([5, 5, 5], &x[0], (5, 1), &x[1], (1, 5));
            y.iter_mut().zip(&x[0]).for_each(|(y, x)| *y += x);
            let y = product([5, 5, 5], &y, (5, 1), &x[1], (5, 1));
            vec![y.iter().zip(&x[0]).map(|(a, b)| a + b).collect(), y]
        },
    );
}

#[test]
fn an_embedding_tied_to_the_output() {
    let picks = ids(9, 7, 3, &[9]);
    let targets = ids(9, 7, 4, &[9]);
    let host: Vec<(usize, usize)> =
        picks.host().iter().zip(targets.host()).map(|(&a, &b)| (a as usize, b as usize)).collect();
    check(
        "tied embedding",
        &[normal(&[7, 5], 1)],
        |v| {
            let h = ops::embedding(&v[0], &picks);
            vec![ops::linear_cross_entropy(&h, &v[0], &targets, &[0.5; 9]).0]
        },
        |x| {
            let row = |i: usize| &x[0][i * 5..i * 5 + 5];
            let dot =
                |a: usize, b: usize| row(a).iter().zip(row(b)).map(|(a, b)| a * b).sum::<f64>();
            let loss = host.iter().map(|&(i, t)| {
                let z: Vec<f64> = (0..7).map(|j| dot(i, j)).collect();
                -0.5 * softmax(&z)[t].ln()
            });
            vec![vec![loss.sum()]]
        },
    );
}

fn params() -> Params {
    let mut p = Params::new();
    for (name, shape, seed) in
        [("w", [4, 5], 1), ("table", [6, 5], 2), ("frozen", [5, 5], 3), ("unused", [2, 2], 4)]
    {
        let x = normal(&shape, seed);
        p.insert(name, Tensor::from_slice(device(), &x.0, shape));
    }
    p.iter_mut().find(|p| p.name == "frozen").unwrap().trainable = false;
    p
}

fn pass(params: &Params, seed: u64, sums: &mut GradSet) {
    let graph = Graph::training(params);
    let get = |name| graph.param(params.find(name).unwrap());
    let x = ops::embedding(&get("table"), &ids(8, 6, seed, &[8]));
    let x = ops::linear(&x, &get("frozen"), None, Weights::OutIn, Activation::Silu);
    let (loss, _) = ops::linear_cross_entropy(&x, &get("w"), &ids(8, 4, seed + 1, &[8]), &[0.1; 8]);
    graph.backward(&loss, sums);
}

#[test]
fn two_passes_add_up() {
    let params = params();
    let (mut a, mut b, mut both) = (GradSet::new(), GradSet::new(), GradSet::new());
    pass(&params, 10, &mut a);
    pass(&params, 20, &mut b);
    pass(&params, 10, &mut both);
    // Someone else may hold the first sum: it must not change under them.
    let kept = both.clone();
    pass(&params, 20, &mut both);
    for name in ["w", "table"] {
        let id = params.find(name).unwrap();
        let get = |g: &GradSet| g.get(id).unwrap().to_vec();
        assert_eq!(get(&kept), get(&a));
        let want: Vec<f64> =
            get(&a).iter().zip(get(&b)).map(|(a, b)| f64::from(*a) + f64::from(b)).collect();
        close(name, &get(&both), &want, 1e-6);
    }
    assert_eq!(both.iter().count(), 2);
    for name in ["frozen", "unused"] {
        assert!(both.get(params.find(name).unwrap()).is_none(), "{name}");
    }
}

#[test]
fn a_pass_that_misses_a_parameter_keeps_its_sum() {
    let params = params();
    let mut sums = GradSet::new();
    pass(&params, 10, &mut sums);
    let before: Vec<(usize, Vec<f32>)> = sums.iter().map(|(i, g)| (i, g.to_vec())).collect();
    let graph = Graph::training(&params);
    let id = params.find("unused").unwrap();
    let (_seen, _also) = (graph.param(params.find("w").unwrap()), graph.param(id));
    let loss = ops::sum(&ops::square(&graph.param(id)));
    graph.backward(&loss, &mut sums);
    for (i, g) in before {
        assert_eq!(sums.iter().find(|(j, _)| *j == i).unwrap().1.to_vec(), g);
    }
    let want: Vec<f64> = params.get(id).to_vec().iter().map(|&v| 2.0 * f64::from(v)).collect();
    close("unused", &sums.get(id).unwrap().to_vec(), &want, 1e-6);
}

#[test]
fn constants_and_detached_values_get_nothing() {
    let tape = Tape::new();
    let x = tape.leaf(Tensor::full(device(), [3], 2.0));
    let c = Var::constant(Tensor::full(device(), [3], 5.0));
    assert!(!ops::mul(&c, &c).needs_grad() && !ops::mul(&x, &c).detach().needs_grad());
    let loss = ops::sum(&ops::mul(&ops::mul(&x, &c), &x.detach()));
    let mut grads = Grads::new();
    tape.backward(&loss, &mut grads);
    assert_eq!(grads.take(&x).unwrap().to_vec(), [10.0; 3]);
    assert!(grads.take(&c).is_none());
}

#[test]
fn inference_keeps_nothing() {
    let params = params();
    let graph = Graph::inference(&params);
    let w = graph.param(params.find("w").unwrap());
    let loss = ops::sum(&ops::square(&w));
    assert!(!loss.needs_grad());
    let mut sums = GradSet::new();
    graph.backward(&loss, &mut sums);
    assert_eq!(sums.iter().count(), 0);
}

#[test]
#[should_panic(expected = "two tapes")]
fn tapes_do_not_mix() {
    let (a, b) = (Tape::new(), Tape::new());
    let x = a.leaf(Tensor::full(device(), [1], 1.0));
    let y = b.leaf(Tensor::full(device(), [1], 1.0));
    let _ = ops::add(&x, &y);
}
