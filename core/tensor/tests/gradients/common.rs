//! The check itself: an op against an f64 reference and its finite differences.

use athanor_tensor::{Grads, Ids, Rng, Tape, Tensor, Var, ops};

pub use crate::backends::device;

/// Normal values.
pub fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut x = vec![0.0; n];
    Rng::new(seed).fork("noise").fill_normal(&mut x, 0.0, 1.0);
    x
}

pub fn ids(n: usize, below: u64, seed: u64, shape: &[usize]) -> Ids {
    let rng = Rng::new(seed).fork("ids");
    Ids::new(device(), (0..n as u64).map(|i| rng.below(i, below) as i32).collect(), shape)
}

pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// Leaves NaN in the pool's spare buffers, so that an op that forgets to write shows it.
pub fn poison() {
    let mut held = Vec::new();
    let mut lines = 1usize;
    while lines < 4096 {
        for eighth in 8..16 {
            for _ in 0..3 {
                held.push(Tensor::full(device(), [lines * 16 * eighth / 8], f32::NAN));
            }
        }
        lines *= 2;
    }
}

/// An input: values and shape.
#[derive(Clone)]
pub struct In(pub Vec<f32>, pub Vec<usize>);

/// Normal values of a shape.
pub fn normal(shape: &[usize], seed: u64) -> In {
    In(noise(shape.iter().product(), seed), shape.to_vec())
}

fn peak(x: &[f64]) -> f64 {
    x.iter().fold(1e-3, |m, v| m.max(v.abs()))
}

/// Compares values, relative to the greatest.
pub fn close(name: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}: length");
    let limit = tolerance * peak(want);
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(g) - w).abs() <= limit, "{name}[{i}]: {g}, not {w} (limit {limit:e})");
    }
}

/// Forward against `reference`, backward against its central differences: at some elements of each
/// input, and along a direction that touches all of them.
pub fn check(
    name: &str,
    inputs: &[In],
    op: impl Fn(&[Var]) -> Vec<Var>,
    reference: impl Fn(&[Vec<f64>]) -> Vec<Vec<f64>>,
) {
    check_near(name, inputs, 1e-5, op, reference);
}

/// How near is near enough, relative to the greatest value of the output or the gradient.
pub struct Near {
    pub forward: f64,
    pub backward: f64,
    /// What a gradient's greatest value is taken to be at least, as a share of that of all of the op's.
    pub least: f64,
    /// At this many elements of each input the slope is taken.
    pub slopes: usize,
}

/// [`check`] with another tolerance of the forward pass, for approximated functions.
pub fn check_near(
    name: &str,
    inputs: &[In],
    tolerance: f64,
    op: impl Fn(&[Var]) -> Vec<Var>,
    reference: impl Fn(&[Vec<f64>]) -> Vec<Vec<f64>>,
) {
    let near = Near { forward: tolerance, backward: 1e-4, least: 0.01, slopes: 40 };
    compare(name, inputs, &near, &run(name, inputs, op), reference);
}

/// What an op gave: its outputs, and the gradients of its inputs.
#[derive(Clone, PartialEq)]
pub struct Given {
    pub outputs: Vec<Vec<f32>>,
    pub gradients: Vec<Vec<f32>>,
}

fn cotangent(output: usize, len: usize) -> Vec<f32> {
    noise(len, 900 + output as u64)
}

/// Runs an op forward and backward.
pub fn run(name: &str, inputs: &[In], op: impl Fn(&[Var]) -> Vec<Var>) -> Given {
    poison();
    let tape = Tape::new();
    let leaves: Vec<Var> =
        inputs.iter().map(|x| tape.leaf(Tensor::from_slice(device(), &x.0, &x.1[..]))).collect();
    let outs = op(&leaves);
    let mut loss: Option<Var> = None;
    for (i, out) in outs.iter().enumerate() {
        let cotangent = cotangent(i, out.value().len());
        let c = Var::constant(Tensor::from_slice(device(), &cotangent, *out.shape()));
        let part = ops::sum(&ops::mul(out, &c));
        loss = Some(match loss {
            None => part,
            Some(sum) => ops::add(&sum, &part),
        });
    }
    let outputs = outs.iter().map(|out| out.value().to_vec()).collect();
    drop(outs);
    let mut grads = Grads::new();
    tape.backward(&loss.unwrap(), &mut grads);
    let gradient = |(i, leaf): (usize, &Var)| {
        let grad = grads.take(leaf).unwrap_or_else(|| panic!("{name}: no gradient of input {i}"));
        assert_eq!(grad.shape()[..], leaf.shape()[..], "{name}: shape of gradient {i}");
        grad.to_vec()
    };
    Given { outputs, gradients: leaves.iter().enumerate().map(gradient).collect() }
}

/// What an op gave against `reference` and its central differences.
pub fn compare(
    name: &str,
    inputs: &[In],
    near: &Near,
    given: &Given,
    reference: impl Fn(&[Vec<f64>]) -> Vec<Vec<f64>>,
) {
    let exact: Vec<Vec<f64>> = inputs.iter().map(|x| wide(&x.0)).collect();
    let want = reference(&exact);
    assert_eq!(given.outputs.len(), want.len());
    for (i, (out, want)) in given.outputs.iter().zip(&want).enumerate() {
        close(&format!("{name} output {i}"), out, want, near.forward);
    }
    let cotangents: Vec<Vec<f64>> =
        want.iter().enumerate().map(|(i, want)| wide(&cotangent(i, want.len()))).collect();
    let scalar = |x: &[Vec<f64>]| -> f64 {
        let outs = reference(x);
        outs.iter().flatten().zip(cotangents.iter().flatten()).map(|(a, b)| a * b).sum()
    };
    let slope = |move_by: &dyn Fn(&mut Vec<Vec<f64>>, f64)| {
        let h = 1e-5;
        let (mut up, mut down) = (exact.clone(), exact.clone());
        move_by(&mut up, h);
        move_by(&mut down, -h);
        (scalar(&up) - scalar(&down)) / (2.0 * h)
    };
    // A gradient that is nothing but rounding, as of a softmax over one score, is held to the others.
    let greatest = given.gradients.iter().map(|g| peak(&wide(g))).fold(0.0, f64::max);
    for (i, grad) in given.gradients.iter().enumerate() {
        let grad = wide(grad);
        let n = grad.len();
        let scale = peak(&grad).max(near.least * greatest);
        let count = n.min(near.slopes);
        for pick in 0..count {
            let at = if n <= near.slopes { pick } else { (pick * 7919 + 13) % n };
            let want = slope(&|x, h| x[i][at] += h);
            assert!(
                (grad[at] - want).abs() <= near.backward * scale,
                "{name}: gradient of input {i} at {at}: {}, not {want} (scale {scale})",
                grad[at]
            );
        }
        let direction = wide(&noise(n, 77 + i as u64));
        let want = slope(&|x, h| x[i].iter_mut().zip(&direction).for_each(|(x, d)| *x += h * d));
        let got: f64 = grad.iter().zip(&direction).map(|(a, b)| a * b).sum();
        let limit = near.backward.max(1e-4) * scale * (n as f64).sqrt();
        assert!((got - want).abs() <= limit, "{name}: slope of input {i}: {got}, not {want}");
    }
}

/// The gradient of weights [out, in], all 1, in a loss over no rows.
pub fn gradient_over_no_rows(
    [out, width]: [usize; 2],
    loss: impl FnOnce(&Var, &Var) -> Var,
) -> Vec<f32> {
    poison();
    let tape = Tape::new();
    let x = tape.leaf(Tensor::zeros(device(), [0, width]));
    let w = tape.leaf(Tensor::full(device(), [out, width], 1.0));
    let mut grads = Grads::new();
    tape.backward(&loss(&x, &w), &mut grads);
    grads.take(&w).unwrap().to_vec()
}

/// Softmax-weighted sum over f64 scores; -inf is what may not be seen. Zeros where all is.
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return vec![0.0; scores.len()];
    }
    let e: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
    let total: f64 = e.iter().sum();
    e.into_iter().map(|v| v / total).collect()
}

/// a[m, k] · b[k, n] with strides (row, column).
pub fn product(
    [m, n, k]: [usize; 3],
    a: &[f64],
    (ar, ac): (usize, usize),
    b: &[f64],
    (br, bc): (usize, usize),
) -> Vec<f64> {
    let mut out = vec![0.0; m * n];
    for i in 0..m {
        for x in 0..k {
            let left = a[i * ar + x * ac];
            for j in 0..n {
                out[i * n + j] += left * b[x * br + j * bc];
            }
        }
    }
    out
}

/// erf by its series, and by its continued fraction far out.
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    let y = if a < 3.0 {
        let (mut term, mut sum) = (a, a);
        for n in 1..80 {
            term *= -a * a / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let mut f = a;
        for n in (1..60).rev() {
            f = a + f64::from(n) * 0.5 / f;
        }
        1.0 - (-a * a).exp() / (f * std::f64::consts::PI.sqrt())
    };
    y.copysign(x)
}
