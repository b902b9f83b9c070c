//! Cross-entropy and log-probabilities over a vocabulary.

use athanor_tensor::{Grads, Ids, Tape, Tensor, ops};

use crate::common::*;

pub fn logits(h: &[f64], w: &[f64], width: usize, scale: f64) -> Vec<f64> {
    let (rows, vocabulary) = (h.len() / width, w.len() / width);
    let mut z = product([rows, vocabulary, width], h, (width, 1), w, (1, width));
    z.iter_mut().for_each(|v| *v *= scale);
    z
}

pub fn log_softmax(row: &[f64]) -> Vec<f64> {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lse = top + row.iter().map(|v| (v - top).exp()).sum::<f64>().ln();
    row.iter().map(|v| v - lse).collect()
}

pub fn log_probs(h: &[f64], w: &[f64], width: usize, scale: f64, targets: &[i32]) -> Vec<f64> {
    let vocabulary = w.len() / width;
    let z = logits(h, w, width, scale);
    z.chunks(vocabulary).zip(targets).map(|(r, &t)| log_softmax(r)[t as usize]).collect()
}

const SIZES: [(usize, usize, usize); 6] =
    [(1, 1, 1), (3, 5, 17), (5, 17, 3), (17, 3, 129), (65, 5, 130), (130, 3, 7)];

#[test]
fn linear_bias_cross_entropy() {
    for (rows, width, vocabulary) in SIZES {
        let targets = ids(rows, vocabulary as u64, 8, &[rows]);
        let weights: Vec<f32> = noise(rows, 9).iter().map(|v| v.abs()).collect();
        check(
            &format!("linear_bias_cross_entropy {rows} {width} {vocabulary}"),
            &[normal(&[rows, width], 1), normal(&[vocabulary, width], 2), normal(&[vocabulary], 3)],
            |v| {
                let bias = Some(&v[2]);
                let (loss, _) =
                    ops::linear_bias_cross_entropy(&v[0], &v[1], bias, &targets, &weights);
                vec![loss]
            },
            |x| {
                let mut z = logits(&x[0], &x[1], width, 1.0);
                for row in z.chunks_mut(vocabulary) {
                    row.iter_mut().zip(&x[2]).for_each(|(z, b)| *z += b);
                }
                let each = z.chunks(vocabulary).zip(targets.host()).zip(&weights);
                vec![vec![
                    each.map(|((r, &t), &w)| -log_softmax(r)[t as usize] * f64::from(w)).sum(),
                ]]
            },
        );
    }
}

#[test]
fn linear_cross_entropy() {
    for (rows, width, vocabulary) in SIZES {
        let targets = ids(rows, vocabulary as u64, 8, &[rows]);
        // Every third row counts for nothing.
        let weights: Vec<f32> = noise(rows, 9)
            .iter()
            .enumerate()
            .map(|(i, v)| if i % 3 == 1 { 0.0 } else { v.abs() })
            .collect();
        check(
            &format!("linear_cross_entropy {rows} {width} {vocabulary}"),
            &[normal(&[rows, width], 1), normal(&[vocabulary, width], 2)],
            |v| {
                let (loss, each) = ops::linear_cross_entropy(&v[0], &v[1], &targets, &weights);
                let want = log_probs(
                    &wide(&v[0].value().to_vec()),
                    &wide(&v[1].value().to_vec()),
                    width,
                    1.0,
                    targets.host(),
                );
                close("log-probabilities", &each.to_vec(), &want, 1e-5);
                vec![loss]
            },
            |x| {
                let each = log_probs(&x[0], &x[1], width, 1.0, targets.host());
                vec![vec![each.iter().zip(&weights).map(|(p, &w)| -p * f64::from(w)).sum()]]
            },
        );
    }
}

/// Σ c[i]·log p[i]'s gradients by the formula, for vocabularies too large for differences.
fn analytic(
    h: &[f64],
    w: &[f64],
    width: usize,
    scale: f64,
    targets: &[i32],
    c: &[f64],
) -> [Vec<f64>; 2] {
    let vocabulary = w.len() / width;
    let mut g = logits(h, w, width, scale);
    for ((row, &t), &c) in g.chunks_mut(vocabulary).zip(targets).zip(c) {
        let p = log_softmax(row);
        row.iter_mut().zip(p).for_each(|(z, p)| *z = -c * scale * p.exp());
        row[t as usize] += c * scale;
    }
    let rows = targets.len();
    [
        product([rows, width, vocabulary], &g, (vocabulary, 1), w, (width, 1)),
        product([vocabulary, width, rows], &g, (1, vocabulary), h, (width, 1)),
    ]
}

#[test]
fn several_blocks_of_a_large_vocabulary() {
    // 64 rows a block: three blocks.
    let (rows, width, vocabulary) = (130, 3, 70_000);
    let targets = ids(rows, vocabulary as u64, 8, &[rows]);
    let (hs, ws) = (noise(rows * width, 1), noise(vocabulary * width, 2));
    let weights: Vec<f32> =
        (0..rows).map(|i| if i == 20 { 0.0 } else { 0.03 * i as f32 }).collect();
    let (hw, ww) = (wide(&hs), wide(&ws));
    poison();
    {
        let tape = Tape::new();
        let h = tape.leaf(Tensor::from_slice(device(), &hs, [rows, width]));
        let w = tape.leaf(Tensor::from_slice(device(), &ws, [vocabulary, width]));
        let (loss, each) = ops::linear_cross_entropy(&h, &w, &targets, &weights);
        let want = log_probs(&hw, &ww, width, 1.0, targets.host());
        close("log-probabilities", &each.to_vec(), &want, 1e-5);
        let total: f64 = want.iter().zip(&weights).map(|(p, &w)| -p * f64::from(w)).sum();
        close("loss", &[loss.value().item()], &[total], 1e-5);
        let mut grads = Grads::new();
        tape.backward(&ops::scale(&loss, 2.0), &mut grads);
        let c: Vec<f64> = weights.iter().map(|&w| -2.0 * f64::from(w)).collect();
        let [dh, dw] = analytic(&hw, &ww, width, 1.0, targets.host(), &c);
        close("dh", &grads.take(&h).unwrap().to_vec(), &dh, 1e-4);
        close("dw", &grads.take(&w).unwrap().to_vec(), &dw, 1e-4);
    }
    let tape = Tape::new();
    let h = tape.leaf(Tensor::from_slice(device(), &hs, [rows, width]));
    let w = tape.leaf(Tensor::from_slice(device(), &ws, [vocabulary, width]));
    let temperature = 0.7f32;
    let scale = 1.0 / f64::from(temperature);
    let y = ops::linear_log_prob(&h, &w, &targets, temperature);
    let want = log_probs(&hw, &ww, width, scale, targets.host());
    close("log_prob", &y.log_prob.value().to_vec(), &want, 1e-5);
    let c = wide(&noise(rows, 3));
    let cot = Tensor::from_slice(device(), &noise(rows, 3), [rows]);
    let mut grads = Grads::new();
    let loss = ops::sum(&ops::mul(&y.log_prob, &athanor_tensor::Var::constant(cot)));
    tape.backward(&loss, &mut grads);
    let [dh, dw] = analytic(&hw, &ww, width, scale, targets.host(), &c);
    close("dh", &grads.take(&h).unwrap().to_vec(), &dh, 1e-4);
    close("dw", &grads.take(&w).unwrap().to_vec(), &dw, 1e-4);
}

#[test]
fn linear_log_prob() {
    for (rows, width, vocabulary) in SIZES {
        for temperature in [1.0f32, 0.6, 1.9] {
            let scale = 1.0 / f64::from(temperature);
            let targets = ids(rows, vocabulary as u64, 8, &[rows]);
            check(
                &format!("linear_log_prob {rows} {width} {vocabulary} {temperature}"),
                &[normal(&[rows, width], 1), normal(&[vocabulary, width], 2)],
                |v| {
                    let y = ops::linear_log_prob(&v[0], &v[1], &targets, temperature);
                    let (h, w) = (wide(&v[0].value().to_vec()), wide(&v[1].value().to_vec()));
                    let want: Vec<f64> = logits(&h, &w, width, scale)
                        .chunks(vocabulary)
                        .map(|r| log_softmax(r).iter().map(|p| -p * p.exp()).sum())
                        .collect();
                    close("entropy", &y.entropy.to_vec(), &want, 1e-5);
                    vec![y.log_prob]
                },
                |x| vec![log_probs(&x[0], &x[1], width, scale, targets.host())],
            );
        }
    }
}

#[test]
fn frozen_sides() {
    let targets = Ids::new(device(), vec![0, 2, 1], [3]);
    let (hs, ws) = (normal(&[3, 5], 1), normal(&[4, 5], 2));
    let mut all = Vec::new();
    for (train_h, train_w) in [(true, true), (true, false), (false, true)] {
        let tape = Tape::new();
        let make = |x: &In, train: bool| {
            let t = Tensor::from_slice(device(), &x.0, &x.1[..]);
            if train { tape.leaf(t) } else { athanor_tensor::Var::constant(t) }
        };
        let (h, w) = (make(&hs, train_h), make(&ws, train_w));
        let (loss, _) = ops::linear_cross_entropy(&h, &w, &targets, &[1.0, 0.5, 0.25]);
        let other = ops::sum(&ops::linear_log_prob(&h, &w, &targets, 0.8).log_prob);
        let mut grads = Grads::new();
        tape.backward(&ops::add(&loss, &other), &mut grads);
        let take = |g: &mut Grads, v| g.take(v).map(|t| t.to_vec());
        all.push((take(&mut grads, &h), take(&mut grads, &w)));
    }
    assert_eq!(all[1], (all[0].0.clone(), None));
    assert_eq!(all[2], (None, all[0].1.clone()));
    assert!(all[0].0.is_some() && all[0].1.is_some());
}

#[test]
fn no_rows() {
    let none = Ids::new(device(), vec![], [0]);
    let gradient = gradient_over_no_rows([4, 5], |h, w| {
        let (loss, _) = ops::linear_cross_entropy(h, w, &none, &[]);
        assert_eq!(loss.value().item(), 0.0);
        ops::add(&loss, &ops::sum(&ops::linear_log_prob(h, w, &none, 1.0).log_prob))
    });
    assert_eq!(gradient, [0.0; 20]);
}

#[test]
fn log_softmax_rows() {
    for (rows, width) in [(1, 1), (3, 5), (5, 17), (17, 129), (2, 3000)] {
        check(
            &format!("log_softmax {rows} {width}"),
            &[normal(&[rows, width], 1)],
            |v| vec![ops::log_softmax(&v[0])],
            |x| vec![x[0].chunks(width).flat_map(log_softmax).collect()],
        );
    }
}
