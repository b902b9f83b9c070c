//! Optimiser updates against f64.

use athanor_tensor::{
    Device, Rng, Tensor,
    ops::{self, AdamW},
};

const CPU: Device = Device::Cpu;

fn noise(shape: [usize; 2], seed: u64) -> Tensor {
    let mut x = vec![0.0; shape[0] * shape[1]];
    Rng::new(seed).fill_normal(&mut x, 0.0, 1.0);
    Tensor::from_slice(CPU, &x, shape)
}

#[test]
fn adamw() {
    let shape = [130, 257];
    let settings = AdamW {
        learning_rate: 0.013,
        beta1: 0.9,
        beta2: 0.98,
        epsilon: 1e-6,
        weight_decay: 0.2,
        grad_scale: 0.31,
    };
    let mut p = noise(shape, 1);
    let (mut m, mut v) = (Tensor::zeros(CPU, shape), Tensor::zeros(CPU, shape));
    let mut want: Vec<[f64; 3]> = p.to_vec().iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect();
    let before = p.clone();
    for step in 1..=10 {
        let g = noise(shape, 100 + step);
        ops::adamw(&mut p, &g, &mut m, &mut v, settings, step);
        let [lr, b1, b2, eps, decay, gs] = [
            settings.learning_rate,
            settings.beta1,
            settings.beta2,
            settings.epsilon,
            settings.weight_decay,
            settings.grad_scale,
        ]
        .map(f64::from);
        for ([p, m, v], g) in want.iter_mut().zip(g.to_vec()) {
            let g = f64::from(g) * gs;
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
            let (mh, vh) = (*m / (1.0 - b1.powi(step as i32)), *v / (1.0 - b2.powi(step as i32)));
            *p -= lr * decay * *p;
            *p -= lr * mh / (vh.sqrt() + eps);
        }
        for (got, [want, ..]) in p.to_vec().iter().zip(&want) {
            assert!((f64::from(*got) - want).abs() < 2e-6 * (1.0 + want.abs()), "{got} {want}");
        }
    }
    // Writing in place did not reach the clone.
    assert_eq!(before.to_vec(), noise(shape, 1).to_vec());
}

/// Eigenvalues of a symmetric matrix by Jacobi's rotations.
fn eigenvalues(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    for _ in 0..30 {
        for p in 0..n {
            for q in p + 1..n {
                let off = a[p * n + q];
                if off.abs() < 1e-14 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    (0..n).map(|i| a[i * n + i]).collect()
}

/// a·bᵀ for rows of length `k`.
fn outer(a: &[f64], b: &[f64], k: usize) -> Vec<f64> {
    a.chunks(k)
        .flat_map(|x| {
            b.chunks(k).map(|y| x.iter().zip(y).map(|(a, b)| a * b).sum()).collect::<Vec<f64>>()
        })
        .collect()
}

fn transpose(x: &[f64], cols: usize) -> Vec<f64> {
    (0..cols).flat_map(|j| x.iter().skip(j).step_by(cols).copied().collect::<Vec<_>>()).collect()
}

/// Five steps as Jordan et al. write them, in f64.
fn steps_in_f64(g: &[f64], [rows, cols]: [usize; 2]) -> Vec<f64> {
    let (a, b, c) = (3.4445f32, -4.7750f32, 2.0315f32);
    let [a, b, c] = [a, b, c].map(f64::from);
    let norm = g.iter().map(|v| v * v).sum::<f64>().sqrt() + 1e-7;
    let scaled: Vec<f64> = g.iter().map(|v| v / norm).collect();
    let (n, k) = (rows.min(cols), rows.max(cols));
    let mut x = if rows <= cols { scaled } else { transpose(&scaled, cols) };
    for _ in 0..5 {
        let s = outer(&x, &x, k);
        let poly: Vec<f64> = s.iter().zip(outer(&s, &s, n)).map(|(s, s2)| b * s + c * s2).collect();
        let more = outer(&poly, &transpose(&x, k), n);
        x = x.iter().zip(more).map(|(x, m)| a * x + m).collect();
    }
    if rows <= cols { x } else { transpose(&x, rows) }
}

#[test]
fn newton_schulz_is_the_paper_s_iteration() {
    let sizes = [[24, 24], [17, 65], [65, 17], [1, 5], [3, 1], [130, 300], [97, 64], [200, 200]];
    for (i, [rows, cols]) in sizes.into_iter().enumerate() {
        let n = rows.min(cols);
        let full = noise([rows, cols], 5 + i as u64).to_vec();
        // Rank 2 and a little noise: singular values from 1 to 1e-4.
        let (u, v) = (noise([rows, 2], 1).to_vec(), noise([2, cols], 2).to_vec());
        let low: Vec<f32> = (0..rows * cols)
            .map(|at| {
                let (r, c) = (at / cols, at % cols);
                u[r * 2] * v[c] + 0.1 * u[r * 2 + 1] * v[cols + c] + 1e-3 * full[at]
            })
            .collect();
        for (what, values) in [("full", full.clone()), ("low rank", low)] {
            let g = Tensor::from_slice(CPU, &values, [rows, cols]);
            let wide: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
            let want = steps_in_f64(&wide, [rows, cols]);
            let got = ops::newton_schulz(&g, false).to_vec();
            assert_eq!(got, ops::newton_schulz(&g, true).to_vec());
            let square = |x: f64| x * x;
            let off: f64 =
                got.iter().zip(&want).map(|(g, w)| square(f64::from(*g) - w)).sum::<f64>().sqrt();
            let size = want.iter().map(|w| w * w).sum::<f64>().sqrt();
            // About n times the rounding of f32.
            let most = if what == "full" { 2e-5 } else { 2e-3 };
            assert!(off <= most * size, "{rows}x{cols} {what} (n {n}): {}", off / size);
        }
    }
}

#[test]
fn newton_schulz() {
    for [rows, cols] in [[24, 24], [17, 65], [65, 17], [1, 5], [3, 1], [40, 130]] {
        let n = rows.min(cols);
        // Square noise has singular values near 0, which five steps cannot lift: add an identity.
        let mut values = noise([rows, cols], 5).to_vec();
        for i in 0..n {
            values[i * cols + i] += 3.0 * (n as f32).sqrt();
        }
        let g = Tensor::from_slice(CPU, &values, [rows, cols]);
        let x = ops::newton_schulz(&g, false);
        assert_eq!(x.shape()[..], [rows, cols]);
        assert_eq!(g.to_vec(), values);
        let long = |t: &Tensor| {
            let v: Vec<f64> = t.to_vec().iter().map(|&v| f64::from(v)).collect();
            if rows <= cols { v } else { transpose(&v, cols) }
        };
        let (gm, xm) = (long(&g), long(&x));
        let k = rows.max(cols);
        let gram = outer(&xm, &xm, k);
        for value in eigenvalues(gram.clone(), n) {
            let s = value.sqrt();
            assert!((0.65..1.25).contains(&s), "{rows}x{cols}: singular value {s}");
        }
        // Not far from orthogonal rows: off the diagonal the gram matrix is small.
        for i in 0..n {
            for j in 0..n {
                let want = if i == j { 1.0 } else { 0.0 };
                assert!((gram[i * n + j] - want).abs() < 0.6, "{rows}x{cols} gram {i} {j}");
            }
        }
        // The same singular vectors: G·Xᵀ is symmetric and positive definite.
        let cross = outer(&gm, &xm, k);
        let top = cross.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for i in 0..n {
            for j in 0..n {
                let skew = (cross[i * n + j] - cross[j * n + i]).abs();
                assert!(skew < 1e-4 * top, "{rows}x{cols}: skew {skew}");
            }
        }
        assert!(eigenvalues(cross, n).iter().all(|&v| v > 0.0));
    }
}

#[test]
fn all_finite() {
    let mut x = vec![1e30f32; 70_001];
    let make = |x: &[f32]| Tensor::from_slice(CPU, x, [x.len()]);
    assert!(ops::all_finite(&make(&x)), "a sum that overflows is not an infinity");
    assert!(ops::all_finite(&make(&[])));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 16_384, 70_000] {
            let good = std::mem::replace(&mut x[at], bad);
            assert!(!ops::all_finite(&make(&x)), "{bad} at {at}");
            x[at] = good;
        }
    }
}

#[test]
fn in_place_sums() {
    let x = noise([257, 130], 1);
    let want: f64 = x.to_vec().iter().map(|&v| f64::from(v).powi(2)).sum();
    assert!((ops::sum_squares(&x) - want).abs() < 1e-5 * want);
    assert_eq!(ops::sum_squares(&Tensor::zeros(CPU, [0])), 0.0);
    let y = noise([257, 130], 2);
    let mut z = x.clone();
    ops::weighted_sum_in_place(&mut z, 0.5, &y, -2.0);
    ops::scale_in_place(&mut z, 3.0);
    for ((z, x), y) in z.to_vec().iter().zip(x.to_vec()).zip(y.to_vec()) {
        assert!((z - 3.0 * (0.5 * x - 2.0 * y)).abs() < 1e-5 * (1.0 + z.abs()));
    }
}
