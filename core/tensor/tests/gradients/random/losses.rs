//! Cross-entropy and log-probabilities.

use athanor_tensor::ops;

use super::{Draw, strict};
use crate::{
    common::*,
    losses::{log_probs, log_softmax, logits},
};

#[test]
fn linear_cross_entropy() {
    Draw::cases("cross-entropy", 14, |draw, case| {
        let most = if case % 4 == 0 { 400 } else { 60 };
        let (rows, width, vocabulary) = (draw.size(90), draw.size(24), draw.size(most));
        let targets = ids(rows, vocabulary as u64, case, &[rows]);
        let weights: Vec<f32> = (0..rows).map(|_| draw.between(0.0, 2.0)).collect();
        let mut inputs = vec![draw.normal(&[rows, width]), draw.normal(&[vocabulary, width])];
        if draw.flag() {
            inputs.push(draw.normal(&[vocabulary]));
        }
        strict(
            &format!("linear_cross_entropy {rows} {width} {vocabulary} {}", inputs.len()),
            &inputs,
            |v| {
                let (h, w, b) = (&v[0], &v[1], v.get(2));
                vec![ops::linear_bias_cross_entropy(h, w, b, &targets, &weights).0]
            },
            |x| {
                let mut z = logits(&x[0], &x[1], width, 1.0);
                for row in z.chunks_mut(vocabulary) {
                    row.iter_mut()
                        .enumerate()
                        .for_each(|(i, z)| *z += x.get(2).map_or(0.0, |b| b[i]));
                }
                let each = z.chunks(vocabulary).zip(targets.host()).zip(&weights);
                vec![vec![
                    each.map(|((r, &t), &w)| -log_softmax(r)[t as usize] * f64::from(w)).sum(),
                ]]
            },
        );
    });
}

#[test]
fn log_probabilities() {
    Draw::cases("log-probabilities", 10, |draw, case| {
        let (rows, width, vocabulary) = (draw.size(60), draw.size(24), draw.size(90));
        let targets = ids(rows, vocabulary as u64, case, &[rows]);
        let temperature = draw.between(0.5, 2.0);
        let scale = 1.0 / f64::from(temperature);
        strict(
            &format!("linear_log_prob {rows} {width} {vocabulary} {temperature}"),
            &[draw.normal(&[rows, width]), draw.normal(&[vocabulary, width])],
            |v| vec![ops::linear_log_prob(&v[0], &v[1], &targets, temperature).log_prob],
            |x| vec![log_probs(&x[0], &x[1], width, scale, targets.host())],
        );
        let (rows, width) = (draw.size(130), draw.size(300));
        strict(
            &format!("log_softmax {rows} {width}"),
            &[draw.normal(&[rows, width])],
            |v| vec![ops::log_softmax(&v[0])],
            |x| vec![x[0].chunks(width).flat_map(log_softmax).collect()],
        );
    });
}
