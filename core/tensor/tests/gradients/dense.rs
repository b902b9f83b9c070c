//! linear, embedding, norms, rotary.

use athanor_tensor::{
    Ids, Tensor, Var,
    ops::{self, Activation, Rotary, Weights},
};

use crate::common::*;

pub fn activation(kind: Activation, v: f64) -> f64 {
    match kind {
        Activation::None => v,
        Activation::Gelu => 0.5 * v * (1.0 + erf(v / std::f64::consts::SQRT_2)),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044715 * v.powi(3));
            0.5 * v * (1.0 + inner.tanh())
        }
        Activation::Silu => v / (1.0 + (-v).exp()),
        Activation::Relu => v.max(0.0),
        Activation::Tanh => v.tanh(),
    }
}

/// The shape of weights from so many to so many, and the strides of a row and a column of their [in, out] view.
pub fn stored(layout: Weights, from: usize, to: usize) -> ([usize; 2], (usize, usize)) {
    match layout {
        Weights::OutIn => ([to, from], (1, from)),
        Weights::InOut => ([from, to], (to, 1)),
    }
}

/// activation(x·W + b) of x, W and perhaps b, with W [inner, out] stored by `strides`.
pub fn linear_reference(
    x: &[Vec<f64>],
    [inner, out]: [usize; 2],
    strides: (usize, usize),
    kind: Activation,
) -> Vec<f64> {
    let rows = x[0].len() / inner;
    let mut y = product([rows, out, inner], &x[0], (inner, 1), &x[1], strides);
    for (i, y) in y.iter_mut().enumerate() {
        *y = activation(kind, *y + x.get(2).map_or(0.0, |b| b[i % out]));
    }
    y
}

/// The rows of a table that `picks` names.
pub fn picked(table: &[f64], width: usize, picks: &Ids) -> Vec<f64> {
    let row = |&i: &i32| table[i as usize * width..][..width].to_vec();
    picks.host().iter().flat_map(row).collect()
}

/// `count` rows of zeros but for those of x at their places.
pub fn spread(x: &[f64], width: usize, places: &[i32], count: usize) -> Vec<f64> {
    let mut out = vec![0.0; count * width];
    for (row, &p) in x.chunks(width).zip(places) {
        out[p as usize * width..][..width].copy_from_slice(row);
    }
    out
}

#[test]
fn linear() {
    let sizes = [[1, 1, 1], [3, 5, 17], [65, 1, 3], [1, 129, 5], [17, 65, 130], [130, 3, 65]];
    for (case, [rows, inner, out]) in sizes.into_iter().enumerate() {
        for layout in [Weights::OutIn, Weights::InOut] {
            for bias in [false, true] {
                // Every activation on the small sizes, one in turn on the large.
                let some = if rows * inner * out < 1000 {
                    Activation::ALL.to_vec()
                } else {
                    vec![Activation::ALL[(case + usize::from(bias) * 3) % 6]]
                };
                for kind in some {
                    let (shape, strides) = stored(layout, inner, out);
                    let mut inputs = vec![normal(&[rows, inner], 1), normal(&shape, 2)];
                    inputs.extend(bias.then(|| normal(&[out], 3)));
                    check(
                        &format!("linear {rows} {inner} {out} {layout:?} {kind:?} {bias}"),
                        &inputs,
                        |v| vec![ops::linear(&v[0], &v[1], v.get(2), layout, kind)],
                        |x| vec![linear_reference(x, [inner, out], strides, kind)],
                    );
                }
            }
        }
    }
}

#[test]
fn linear_keeps_leading_dimensions() {
    check(
        "linear [2, 3, 5]",
        &[normal(&[2, 3, 5], 1), normal(&[7, 5], 2)],
        |v| {
            let y = ops::linear(&v[0], &v[1], None, Weights::OutIn, Activation::None);
            assert_eq!(y.shape()[..], [2, 3, 7]);
            vec![y]
        },
        |x| vec![product([6, 7, 5], &x[0], (5, 1), &x[1], (1, 5))],
    );
}

#[test]
fn linear_of_nothing() {
    // No rows: gradients of weights are zeros. No inputs: outputs are the bias.
    let gradient = gradient_over_no_rows([3, 5], |x, w| {
        ops::sum(&ops::linear(x, w, None, Weights::OutIn, Activation::None))
    });
    assert_eq!(gradient, [0.0; 15]);
    poison();
    let x = Var::constant(Tensor::zeros(device(), [2, 0]));
    let w = Var::constant(Tensor::zeros(device(), [3, 0]));
    let b = Var::constant(Tensor::from_slice(device(), &[1.0, 2.0, 3.0], [3]));
    let y = ops::linear(&x, &w, Some(&b), Weights::OutIn, Activation::None);
    assert_eq!(y.value().to_vec(), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
}

#[test]
fn embedding() {
    for (rows, width, n) in [(1, 1, 1), (3, 5, 17), (17, 65, 40), (129, 130, 5), (5, 64, 129)] {
        // Far fewer rows than ids in some: repeats.
        let picks = ids(n, rows as u64, 4, &[n]);
        check(
            &format!("embedding {rows} {width} {n}"),
            &[normal(&[rows, width], 1)],
            |v| vec![ops::embedding(&v[0], &picks)],
            |x| vec![picked(&x[0], width, &picks)],
        );
    }
    // A gather of rows: some never, some twice, shape [2, 3, width].
    let picks = Ids::new(device(), vec![6, 0, 6, 2, 2, 4], [2, 3]);
    check(
        "gather",
        &[normal(&[7, 3], 1)],
        |v| {
            let y = ops::embedding(&v[0], &picks);
            assert_eq!(y.shape()[..], [2, 3, 3]);
            vec![y]
        },
        |x| vec![picked(&x[0], 3, &picks)],
    );
}

#[test]
fn spread_rows() {
    for (places, count) in [(vec![2, 0], 3), (vec![], 2), (vec![4, 1, 7], 9), (vec![0], 1)] {
        let (n, width) = (places.len(), 65);
        let at = Ids::new(device(), places.clone(), [n]);
        check(
            &format!("spread_rows {places:?}"),
            &[normal(&[1, n, width], 1)],
            |v| vec![ops::spread_rows(&v[0], &at, count)],
            |x| vec![spread(&x[0], width, &places, count)],
        );
    }
}

pub fn norm_reference(x: &[f64], w: &[f64], b: Option<&[f64]>, centre: bool, eps: f64) -> Vec<f64> {
    let width = w.len();
    let mut y = Vec::new();
    for row in x.chunks(width) {
        let n = width as f64;
        let mean = if centre { row.iter().sum::<f64>() / n } else { 0.0 };
        let var = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        for (i, v) in row.iter().enumerate() {
            y.push((v - mean) / (var + eps).sqrt() * w[i] + b.map_or(0.0, |b| b[i]));
        }
    }
    y
}

const SIZES: [(usize, usize); 7] =
    [(1, 3), (3, 1), (5, 17), (17, 65), (2, 129), (65, 5), (200, 130)];

#[test]
fn norms() {
    for (rows, width) in SIZES {
        // eps large enough that rows of one element have a slope.
        let eps = 0.1;
        let e = f64::from(eps);
        for bias in [false, true] {
            let mut inputs = vec![normal(&[rows, width], 1), normal(&[width], 2)];
            inputs.extend(bias.then(|| normal(&[width], 3)));
            check(
                &format!("layer_norm {rows} {width} {bias}"),
                &inputs,
                |v| vec![ops::layer_norm(&v[0], &v[1], v.get(2), eps)],
                |x| vec![norm_reference(&x[0], &x[1], x.get(2).map(|b| &b[..]), true, e)],
            );
        }
        check(
            &format!("rms_norm {rows} {width}"),
            &[normal(&[rows, width], 1), normal(&[width], 2)],
            |v| vec![ops::rms_norm(&v[0], &v[1], eps)],
            |x| vec![norm_reference(&x[0], &x[1], None, false, e)],
        );
    }
}

#[test]
fn norms_far_from_zero() {
    // The mean is 300 deviations away: nothing may cancel beyond what f32 holds of the input.
    let mut x = normal(&[3, 65], 1);
    x.0.iter_mut().for_each(|v| *v += 300.0);
    check_near(
        "layer_norm of a large mean",
        &[x, normal(&[65], 2), normal(&[65], 3)],
        1e-4,
        |v| vec![ops::layer_norm(&v[0], &v[1], Some(&v[2]), 1e-5)],
        |x| vec![norm_reference(&x[0], &x[1], Some(&x[2]), true, 1e-5)],
    );
}

#[test]
fn add_norms() {
    for (rows, width) in SIZES {
        let sum =
            |x: &[Vec<f64>]| -> Vec<f64> { x[0].iter().zip(&x[1]).map(|(a, b)| a + b).collect() };
        for bias in [false, true] {
            let mut inputs =
                vec![normal(&[rows, width], 1), normal(&[rows, width], 4), normal(&[width], 2)];
            inputs.extend(bias.then(|| normal(&[width], 3)));
            check(
                &format!("add_layer_norm {rows} {width} {bias}"),
                &inputs,
                |v| {
                    let (s, y) = ops::add_layer_norm(&v[0], &v[1], &v[2], v.get(3), 0.1);
                    vec![s, y]
                },
                |x| {
                    let s = sum(x);
                    let e = f64::from(0.1f32);
                    let y = norm_reference(&s, &x[2], x.get(3).map(|b| &b[..]), true, e);
                    vec![s, y]
                },
            );
        }
        check(
            &format!("add_rms_norm {rows} {width}"),
            &[normal(&[rows, width], 1), normal(&[rows, width], 4), normal(&[width], 2)],
            |v| {
                let (s, y) = ops::add_rms_norm(&v[0], &v[1], &v[2], 0.1);
                vec![s, y]
            },
            |x| {
                let s = sum(x);
                let y = norm_reference(&s, &x[2], None, false, f64::from(0.1f32));
                vec![s, y]
            },
        );
    }
}

#[test]
fn rotary() {
    for (batch, time, heads, half) in [(1, 1, 1, 1), (2, 5, 3, 4), (1, 17, 5, 33), (3, 65, 1, 8)] {
        let frequencies: Vec<f64> =
            (0..half).map(|i| 10000f64.powf(-(i as f64) / half as f64)).collect();
        let scale = [1.0, 1.25][half % 2];
        let tables = Rotary::scaled(device(), 200, &frequencies, scale);
        assert_eq!(tables.positions(), 200);
        let place = |b: usize, t: usize| t + 7 + b * 31;
        let positions: Vec<i32> =
            (0..batch * time).map(|i| place(i / time, i % time) as i32).collect();
        let positions = Ids::new(device(), positions, [batch, time]);
        let dim = 2 * half;
        check(
            &format!("rotary {batch} {time} {heads} {dim}"),
            &[normal(&[batch, time, heads, dim], 1)],
            |v| vec![ops::rotary(&v[0], &positions, &tables)],
            |x| {
                let mut y = vec![0.0; x[0].len()];
                for (i, (x, y)) in x[0].chunks(dim).zip(y.chunks_mut(dim)).enumerate() {
                    let token = i / heads;
                    let p = place(token / time, token % time);
                    for j in 0..half {
                        // The op's documented rounding of the angle.
                        let a = f64::from(p as f32 * frequencies[j] as f32);
                        let (cos, sin) = (a.cos() * f64::from(scale), a.sin() * f64::from(scale));
                        y[j] = x[j] * cos - x[j + half] * sin;
                        y[j + half] = x[j + half] * cos + x[j] * sin;
                    }
                }
                vec![y]
            },
        );
    }
}

/// Sizes drawn by chance, up to those of every kernel behind the door.
#[test]
fn bare_products() {
    let rng = athanor_tensor::Rng::new(11).fork("sizes");
    let size = |i: u64, most: u64| 1 + rng.below(i, most) as usize;
    for case in 0..24 {
        let [m, n, k] = [size(3 * case, 220), size(3 * case + 1, 220), size(3 * case + 2, 700)];
        for turned in [[false, false], [true, false], [false, true], [true, true]] {
            let of = |rows, columns, turned: bool| {
                if turned { [columns, rows] } else { [rows, columns] }
            };
            let In(a, left) = normal(&of(m, k, turned[0]), 21 + case);
            let In(b, right) = normal(&of(k, n, turned[1]), 51 + case);
            let tensor =
                |x: &[f32], shape: &[usize]| athanor_tensor::Tensor::from_slice(device(), x, shape);
            poison();
            let got = ops::matmul(&tensor(&a, &left), &tensor(&b, &right), turned);
            let strides =
                |shape: &[usize], turned| if turned { (1, shape[1]) } else { (shape[1], 1) };
            let want = product(
                [m, n, k],
                &wide(&a),
                strides(&left, turned[0]),
                &wide(&b),
                strides(&right, turned[1]),
            );
            close(&format!("{m} {n} {k} {turned:?}"), &got.to_vec(), &want, 1e-5);
        }
    }
}
