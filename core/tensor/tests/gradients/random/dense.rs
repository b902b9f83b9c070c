//! linear, feed_forward, embedding, spread_rows, norms, rotary, concat, elementwise functions, dropout.

use athanor_tensor::{
    Ids, Rng, Tensor, Var,
    ops::{self, Activation, Rotary, Weights},
};

use super::{Draw, strict};
use crate::{
    common::*,
    dense::{activation, linear_reference, norm_reference, picked, spread, stored},
    feed_forward::{self, weights},
};

#[test]
fn linear() {
    Draw::cases("linear", 24, |draw, case| {
        // Some that several threads share.
        let most = if case % 4 == 0 { 140 } else { 40 };
        let [rows, inner, out] = [0, 1, 2].map(|_| draw.size(most));
        let (order, kind) = (draw.of(&[Weights::OutIn, Weights::InOut]), draw.of(&Activation::ALL));
        let (shape, strides) = stored(order, inner, out);
        let mut inputs = vec![draw.normal(&[rows, inner]), draw.normal(&shape)];
        if draw.flag() {
            inputs.push(draw.normal(&[out]));
        }
        strict(
            &format!("linear {rows} {inner} {out} {order:?} {kind:?} {}", inputs.len()),
            &inputs,
            |v| vec![ops::linear(&v[0], &v[1], v.get(2), order, kind)],
            |x| vec![linear_reference(x, [inner, out], strides, kind)],
        );
    });
}

#[test]
fn feed_forward() {
    Draw::cases("feed_forward", 10, |draw, _| {
        let rows = draw.size(70);
        let [width, inner, out] = [0, 1, 2].map(|_| draw.size(40));
        let (order, kind) = (draw.of(&[Weights::OutIn, Weights::InOut]), draw.of(&Activation::ALL));
        let ([up, down], strides) = weights(order, [width, inner, out]);
        let shapes = [&[rows, width][..], &up, &[inner], &down, &[out]];
        strict(
            &format!("feed_forward {rows} {width} {inner} {out} {order:?} {kind:?}"),
            &shapes.map(|s| draw.normal(s)),
            |v| vec![feed_forward::op(v, order, kind)],
            |x| vec![feed_forward::reference(x, [width, inner, out], strides, kind)],
        );
    });
}

#[test]
fn rows_of_tables() {
    Draw::cases("rows", 12, |draw, case| {
        let (rows, width, n) = (draw.size(200), draw.size(150), draw.size(300));
        let picks = ids(n, rows as u64, case, &[n]);
        strict(
            &format!("embedding {rows} {width} {n}"),
            &[draw.normal(&[rows, width])],
            |v| vec![ops::embedding(&v[0], &picks)],
            |x| vec![picked(&x[0], width, &picks)],
        );
        // Places, each once, in no order.
        let mut places: Vec<i32> = (0..rows as i32).collect();
        places.sort_by_key(|&p| athanor_tensor::splitmix64(case << 32 | p as u64));
        places.truncate(1 + draw.below(rows));
        let at = Ids::new(device(), places.clone(), [places.len()]);
        strict(
            &format!("spread_rows {} of {rows}, {width}", places.len()),
            &[draw.normal(&[1, places.len(), width])],
            |v| vec![ops::spread_rows(&v[0], &at, rows)],
            |x| vec![spread(&x[0], width, &places, rows)],
        );
        let [batch, m] = [draw.size(7), draw.size(50)];
        let width = draw.size(40);
        strict(
            &format!("concat {batch} {m} {n} {width}"),
            &[draw.normal(&[batch, m, width]), draw.normal(&[batch, n, width])],
            |v| vec![ops::concat(&v[0], &v[1])],
            |x| {
                let both = x[0].chunks(m * width).zip(x[1].chunks(n * width));
                vec![both.flat_map(|(a, b)| [a, b].concat()).collect()]
            },
        );
    });
}

#[test]
fn norms() {
    Draw::cases("norms", 16, |draw, _| {
        let (rows, width, eps) = (draw.size(300), draw.size(200), draw.of(&[1e-1, 1e-2, 1e-5]));
        // The slope of a row of one is nothing but eps.
        let width = if eps < 1e-2 { width + 8 } else { width };
        let (e, residual, centre) = (f64::from(eps), draw.flag(), draw.flag());
        let bias = centre && draw.flag();
        let mut inputs = vec![draw.normal(&[rows, width]), draw.normal(&[width])];
        inputs.extend(bias.then(|| draw.normal(&[width])));
        inputs.extend(residual.then(|| draw.normal(&[rows, width])));
        strict(
            &format!("norm {rows} {width} {eps} centre {centre} bias {bias} residual {residual}"),
            &inputs,
            |v| {
                let b = bias.then(|| &v[2]);
                match (v.get(2 + usize::from(bias)), centre) {
                    (None, true) => vec![ops::layer_norm(&v[0], &v[1], b, eps)],
                    (None, false) => vec![ops::rms_norm(&v[0], &v[1], eps)],
                    (Some(more), true) => {
                        <[Var; 2]>::from(ops::add_layer_norm(&v[0], more, &v[1], b, eps)).into()
                    }
                    (Some(more), false) => {
                        <[Var; 2]>::from(ops::add_rms_norm(&v[0], more, &v[1], eps)).into()
                    }
                }
            },
            |x| {
                let b = bias.then(|| &x[2][..]);
                let Some(more) = x.get(2 + usize::from(bias)) else {
                    return vec![norm_reference(&x[0], &x[1], b, centre, e)];
                };
                let sum: Vec<f64> = x[0].iter().zip(more).map(|(a, b)| a + b).collect();
                let normed = norm_reference(&sum, &x[1], b, centre, e);
                vec![sum, normed]
            },
        );
    });
}

#[test]
fn rotary() {
    Draw::cases("rotary", 10, |draw, case| {
        let [batch, time, heads, half] = [draw.size(5), draw.size(90), draw.size(6), draw.size(40)];
        let frequencies: Vec<f64> =
            (0..half).map(|i| 10000f64.powf(-(i as f64) / half as f64)).collect();
        let scale = draw.of(&[1.0, 1.25]);
        let tables = Rotary::scaled(device(), 300, &frequencies, scale);
        let positions = ids(batch * time, 300, case, &[batch, time]);
        let place: Vec<f32> = positions.host().iter().map(|&p| p as f32).collect();
        let dim = 2 * half;
        strict(
            &format!("rotary {batch} {time} {heads} {dim}"),
            &[draw.normal(&[batch, time, heads, dim])],
            |v| vec![ops::rotary(&v[0], &positions, &tables)],
            |x| {
                let mut y = vec![0.0; x[0].len()];
                for (i, (x, y)) in x[0].chunks(dim).zip(y.chunks_mut(dim)).enumerate() {
                    for j in 0..half {
                        // The op's documented rounding of the angle.
                        let a = f64::from(place[i / heads] * frequencies[j] as f32);
                        let (cos, sin) = (a.cos() * f64::from(scale), a.sin() * f64::from(scale));
                        y[j] = x[j] * cos - x[j + half] * sin;
                        y[j + half] = x[j + half] * cos + x[j] * sin;
                    }
                }
                vec![y]
            },
        );
    });
}

type One = (&'static str, fn(&Var) -> Var, fn(f64) -> f64);
type Two = (&'static str, fn(&Var, &Var) -> Var, fn(f64, f64) -> f64);

#[test]
fn elementwise() {
    let one: [One; 10] = [
        ("exp", ops::exp, f64::exp),
        (
            "log of a square",
            |x| ops::log(&ops::add_scalar(&ops::square(x), 0.5)),
            |v| (v * v + 0.5).ln(),
        ),
        ("sigmoid", ops::sigmoid, |v| 1.0 / (1.0 + (-v).exp())),
        ("log_sigmoid", ops::log_sigmoid, |v| -(-v).exp().ln_1p()),
        ("square", ops::square, |v| v * v),
        ("tanh", ops::tanh, f64::tanh),
        ("neg", ops::neg, |v| -v),
        ("scale", |x| ops::scale(x, 1.75), |v| v * 1.75),
        ("add_scalar", |x| ops::add_scalar(x, -0.5), |v| v - 0.5),
        ("clamp", |x| ops::clamp(x, -0.75, 0.5), |v| v.clamp(-0.75, 0.5)),
    ];
    let two: [Two; 7] = [
        ("add", ops::add, |a, b| a + b),
        ("sub", ops::sub, |a, b| a - b),
        ("mul", ops::mul, |a, b| a * b),
        (
            "div",
            |a, b| ops::div(a, &ops::add_scalar(&ops::square(b), 0.5)),
            |a, b| a / (b * b + 0.5),
        ),
        ("minimum", ops::minimum, f64::min),
        ("maximum", ops::maximum, f64::max),
        ("swiglu", ops::swiglu, |a, b| a / (1.0 + (-a).exp()) * b),
    ];
    Draw::cases("elementwise", 3, |draw, _| {
        for (name, op, want) in one {
            let n = draw.size(40_000);
            strict(
                &format!("{name} {n}"),
                &[draw.normal(&[n])],
                |v| vec![op(&v[0])],
                |x| vec![x[0].iter().map(|&v| want(v)).collect()],
            );
        }
        for (name, op, want) in two {
            let n = draw.size(40_000);
            strict(
                &format!("{name} {n}"),
                &[draw.normal(&[n]), draw.normal(&[n])],
                |v| vec![op(&v[0], &v[1])],
                |x| vec![x[0].iter().zip(&x[1]).map(|(&a, &b)| want(a, b)).collect()],
            );
        }
        for kind in Activation::ALL {
            let n = draw.size(20_000);
            strict(
                &format!("activate {kind:?} {n}"),
                &[draw.normal(&[n])],
                |v| vec![ops::activate(&v[0], kind), ops::mean(&v[0])],
                |x| {
                    let mean = x[0].iter().sum::<f64>() / n as f64;
                    vec![x[0].iter().map(|&v| activation(kind, v)).collect(), vec![mean]]
                },
            );
        }
    });
}

#[test]
fn dropout() {
    Draw::cases("dropout", 8, |draw, case| {
        let (n, p) = (draw.size(60_000), draw.between(0.05, 0.7));
        let key = Rng::new(7).fork("dropout").at(case);
        let ones = Var::constant(Tensor::full(device(), [n], 1.0));
        let mask = ops::dropout(&ones, p, key).value().to_vec();
        assert!(mask.iter().all(|&v| v == 0.0 || v == 1.0 / (1.0 - p)), "{n} {p}");
        let (rate, p64) =
            (mask.iter().filter(|&&v| v == 0.0).count() as f64 / n as f64, f64::from(p));
        // Five deviations.
        let limit = 5.0 * (p64 * (1.0 - p64) / n as f64).sqrt();
        assert!((rate - p64).abs() < limit, "{n}: {rate}, not {p}");
        let mask = wide(&mask);
        // The mask of the backward pass is that of the forward pass.
        strict(
            &format!("dropout {n} {p}"),
            &[draw.normal(&[n])],
            |v| vec![ops::dropout(&v[0], p, key)],
            |x| vec![x[0].iter().zip(&mask).map(|(a, m)| a * m).collect()],
        );
    });
}
