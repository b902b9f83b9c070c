//! Losses of heads against their formulas in f64: weights, rows that do not count, places where no answer may be.

use athanor_models::heads::losses::{
    Classes, Span, choice, several_labels, span, span_scores, square_error, yes_or_no,
};
use athanor_tensor::{Device, Tensor, Var};

fn scores(values: &[f32], shape: &[usize]) -> Var {
    Var::constant(Tensor::from_slice(Device::Cpu, values, shape))
}

fn is(loss: &Var, expected: f64) {
    let found = f64::from(loss.value().item());
    assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
}

fn log_sigmoid(x: f64) -> f64 {
    -(-x).exp().ln_1p()
}

/// -ln softmax(x)[i]
fn surprise(x: &[f64], i: usize) -> f64 {
    x.iter().map(|v| v.exp()).sum::<f64>().ln() - x[i]
}

#[test]
fn numbers_and_several_labels() {
    let x = scores(&[0.5, -1.0, 2.0, 0.25], &[2, 2]);
    let square = |a: f64, b: f64| (a - b).powi(2);
    let first = (square(0.5, 1.0) + square(-1.0, 0.0)) / 2.0;
    let second = (square(2.0, 0.0) + square(0.25, 1.0)) / 2.0;
    is(&square_error(&x, &[1.0, 0.0, 0.0, 1.0], &[0.75, 0.1]), 0.75 * first + 0.1 * second);
    is(&square_error(&x, &[1.0, 0.0, 0.0, 1.0], &[0.5, 0.5]), (first + second) / 2.0);

    let of = |x: f64, y: f64| -y * log_sigmoid(x) - (1.0 - y) * log_sigmoid(-x);
    let first = (of(0.5, 1.0) + of(-1.0, 0.3)) / 2.0;
    let second = (of(2.0, 0.0) + of(0.25, 1.0)) / 2.0;
    is(&several_labels(&x, &[1.0, 0.3, 0.0, 1.0], &[0.2, 0.8]), 0.2 * first + 0.8 * second);
    let all = of(0.5, 1.0) + of(-1.0, 0.0) + of(2.0, 0.0) + of(0.25, 1.0);
    is(&yes_or_no(&x, &[true, false, false, true]), all);
}

#[test]
fn choices() {
    // One score for each of three choices of two rows, as a head gives them.
    let x = scores(&[0.5, -1.0, 2.0, 0.25, 0.0, 1.0], &[6, 1]);
    let (first, second) = ([0.5, -1.0, 2.0], [0.25, 0.0, 1.0]);
    let both = 0.3 * surprise(&first, 1) + 0.6 * surprise(&second, 2);
    is(&choice(&x, &[Some(1), Some(2)], &[0.3, 0.6]), both);
    is(&choice(&x, &[None, Some(0)], &[0.3, 0.6]), 0.6 * surprise(&second, 0));
}

#[test]
fn spans() {
    // Two rows of three places, (start, end) at each.
    let values = [0.5, 1.0, -1.0, 0.5, 2.0, 0.0, 0.25, 2.0, 0.0, 1.0, 1.0, -3.0];
    let both = span_scores(&scores(&values, &[2, 3, 2]), [2, 3]);
    assert_eq!(both[0].value().to_vec(), [0.5, -1.0, 2.0, 0.25, 0.0, 1.0]);
    assert_eq!(both[1].value().to_vec(), [1.0, 0.5, 0.0, 2.0, 1.0, -3.0]);
    let spans = [Span { start: Some(0), end: Some(2) }, Span { start: Some(1), end: None }];
    let starts = 0.5 * surprise(&[0.5, -1.0, 2.0], 0) + 0.5 * surprise(&[0.25, 0.0, 1.0], 1);
    let ends = surprise(&[1.0, 0.5, 0.0], 2);
    let weights: [&[f32]; 2] = [&[0.5, 0.5], &[1.0, 1.0]];
    is(&span(&both, &spans, weights, None), (starts + ends) / 2.0);
    // The second row's last place is padding.
    let open = [true, true, true, true, true, false];
    let starts = 0.5 * surprise(&[0.5, -1.0, 2.0], 0) + 0.5 * surprise(&[0.25, 0.0], 1);
    is(&span(&both, &spans, weights, Some(&open)), (starts + ends) / 2.0);
}

#[test]
fn labels_that_do_not_count() {
    let found = Classes::of([None, Some(4), None, Some(2)]);
    assert_eq!(found, Classes { rows: vec![1, 3], classes: vec![4, 2] });
    assert!(found.len() == 2 && Classes::of([None]).is_empty());
}
