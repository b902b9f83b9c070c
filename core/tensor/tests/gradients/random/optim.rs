//! What optimisers do in place.

use athanor_tensor::{
    Tensor,
    ops::{self, AdamW},
};

use super::{Draw, POOLS};
use crate::common::*;

fn tensor(x: &[f32]) -> Tensor {
    Tensor::from_slice(device(), x, [x.len()])
}

/// `f` on one thread and on two, to the same values.
fn twice(name: &str, f: impl Fn() -> Vec<Vec<f32>> + Sync) -> Vec<Vec<f32>> {
    let [one, two] = [0, 1].map(|n| POOLS[n].install(&f));
    assert!(one == two, "{name}: other bytes on two threads");
    one
}

#[test]
fn adamw() {
    Draw::cases("adamw", 8, |draw, _| {
        let n = draw.size(50_000);
        let settings = AdamW {
            learning_rate: draw.between(1e-5, 0.05),
            beta1: draw.between(0.0, 0.99),
            beta2: draw.between(0.5, 0.999),
            epsilon: draw.of(&[1e-8, 1e-6, 1e-3]),
            weight_decay: draw.between(0.0, 0.3),
            grad_scale: draw.between(0.01, 1.0),
        };
        let steps = 1 + draw.below(4) as u64;
        let first = draw.normal(&[n]).0;
        let gradients: Vec<Vec<f32>> = (0..steps).map(|_| draw.normal(&[n]).0).collect();
        let name = format!("adamw {n} {settings:?} {steps}");
        let got = twice(&name, || {
            let (mut p, mut m) = (tensor(&first), Tensor::zeros(device(), [n]));
            let mut v = m.clone();
            for (g, step) in gradients.iter().zip(1..) {
                ops::adamw(&mut p, &tensor(g), &mut m, &mut v, settings, step);
            }
            [p, m, v].map(|t| t.to_vec()).into()
        });
        let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay, grad_scale } = settings;
        let [lr, b1, b2, eps, decay, factor] =
            [learning_rate, beta1, beta2, epsilon, weight_decay, grad_scale].map(f64::from);
        let mut want = [wide(&first), vec![0.0; n], vec![0.0; n]];
        for (g, step) in gradients.iter().zip(1..) {
            for (i, &g) in g.iter().enumerate() {
                let [p, m, v] = want.each_mut().map(|x| &mut x[i]);
                let g = f64::from(g) * factor;
                *m = b1 * *m + (1.0 - b1) * g;
                *v = b2 * *v + (1.0 - b2) * g * g;
                let [mean, square] = [*m / (1.0 - b1.powi(step)), *v / (1.0 - b2.powi(step))];
                *p -= lr * decay * *p + lr * mean / (square.sqrt() + eps);
            }
        }
        for (what, (got, want)) in ["p", "m", "v"].iter().zip(got.iter().zip(&want)) {
            close(&format!("{name} {what}"), got, want, 1e-5);
        }
    });
}

#[test]
fn newton_schulz() {
    Draw::cases("newton-schulz", 10, |draw, _| {
        let [rows, cols] = [draw.size(60), draw.size(90)];
        let g = draw.normal(&[rows, cols]);
        let among = draw.flag();
        let name = format!("newton_schulz {rows} {cols} {among}");
        let got = twice(&name, || {
            let g = Tensor::from_slice(device(), &g.0, [rows, cols]);
            vec![ops::newton_schulz(&g, among).to_vec()]
        });
        let [a, b, c] = [3.4445f32, -4.7750, 2.0315].map(f64::from);
        let mut x = wide(&g.0);
        let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt() + 1e-7;
        x.iter_mut().for_each(|v| *v /= norm);
        for _ in 0..5 {
            // X ← aX + (bS + cS²)X with S = X·Xᵀ, whichever side is short.
            let s = product([rows, rows, cols], &x, (cols, 1), &x, (1, cols));
            let square = product([rows, rows, rows], &s, (rows, 1), &s, (rows, 1));
            let poly: Vec<f64> = s.iter().zip(&square).map(|(s, q)| b * s + c * q).collect();
            let more = product([rows, cols, rows], &poly, (rows, 1), &x, (cols, 1));
            x.iter_mut().zip(more).for_each(|(x, m)| *x = a * *x + m);
        }
        // Five steps lift a small singular value, and with it its rounding, up to 485 times (a⁵): what is
        // asked of all else, 1e-5, is missed by a tenth where a matrix is nearly square.
        close(&name, &got[0], &x, 2e-5);
    });
}

#[test]
fn nesterov() {
    Draw::cases("nesterov", 6, |draw, _| {
        let n = draw.size(60_000);
        let [m, g] = [0, 1].map(|_| draw.normal(&[n]).0);
        let (beta, scale) = (draw.between(0.0, 0.99), draw.between(0.01, 1.0));
        let name = format!("nesterov {n} {beta} {scale}");
        let got = twice(&name, || {
            let (mut m, g) = (tensor(&m), tensor(&g));
            let ahead = ops::nesterov(&mut m, &g, beta, scale);
            vec![m.to_vec(), ahead.to_vec()]
        });
        let (beta, scale) = (f64::from(beta), f64::from(scale));
        let step = |m: f64, g: f32| beta * m + scale * f64::from(g);
        let kept: Vec<f64> = m.iter().zip(&g).map(|(&m, &g)| step(f64::from(m), g)).collect();
        let ahead: Vec<f64> = kept.iter().zip(&g).map(|(&m, &g)| step(m, g)).collect();
        close(&format!("{name}: momentum"), &got[0], &kept, 1e-5);
        close(&format!("{name}: ahead"), &got[1], &ahead, 1e-5);
    });
}

#[test]
fn sums_in_place() {
    Draw::cases("sums in place", 8, |draw, _| {
        let n = draw.size(70_000);
        let [x, y] = [0, 1].map(|_| draw.normal(&[n]).0);
        let (a, b) = (draw.between(-2.0, 2.0), draw.between(-2.0, 2.0));
        let name = format!("sums {n} {a} {b}");
        let got = twice(&name, || {
            let (mut z, y) = (tensor(&x), tensor(&y));
            let squares = ops::sum_squares(&z) as f32;
            ops::weighted_sum_in_place(&mut z, a, &y, b);
            ops::scale_in_place(&mut z, b);
            vec![vec![squares], z.to_vec()]
        });
        let (a, b) = (f64::from(a), f64::from(b));
        let squares = x.iter().map(|&v| f64::from(v).powi(2)).sum();
        close(&format!("{name}: squares"), &got[0], &[squares], 1e-5);
        let want: Vec<f64> =
            x.iter().zip(&y).map(|(&x, &y)| b * (a * f64::from(x) + b * f64::from(y))).collect();
        close(&name, &got[1], &want, 1e-5);
    });
}
