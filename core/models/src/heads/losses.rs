//! The losses of heads. `athanor forward` (which is held to transformers' losses and gradients) and training call the
//! same functions. Each takes scores and what they should have been, and a weight for each example: the loss is the
//! weighted sum, so weights of 1 / examples give the mean.
//!
//! Where the scores are one linear map of many columns (tokens of a vocabulary, labels) the cross-entropy takes the
//! map instead, [`Model::token_loss`](crate::Model::token_loss) and [`dropped_loss`](crate::Model::dropped_loss).

use athanor_tensor::{Tensor, Var, ops};

/// Classes that some of many rows should have: the rows, and the class of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    /// Rows that count.
    pub rows: Vec<i32>,
    /// The class of each.
    pub classes: Vec<i32>,
}

impl Classes {
    /// Of one label a row; a row without does not count.
    pub fn of(labels: impl IntoIterator<Item = Option<usize>>) -> Self {
        let counted = (0..).zip(labels).filter_map(|(row, label)| Some((row, label? as i32)));
        let (rows, classes) = counted.unzip();
        Self { rows, classes }
    }

    /// How many rows count.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none counts.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// First and last place of an answer in its row; none where it is not in this row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first place.
    pub start: Option<usize>,
    /// The last place.
    pub end: Option<usize>,
}

fn constant(like: &Var, values: &[f32], shape: &[usize]) -> Var {
    Var::constant(Tensor::from_slice(like.value().device(), values, shape))
}

/// For each of `width` scores of a row the row's weight divided by `divisor`.
fn spread(weights: &[f32], width: usize, divisor: f32) -> Vec<f32> {
    weights.iter().flat_map(|w| std::iter::repeat_n(w / divisor, width)).collect()
}

/// Sizes [rows, width] of scores for `rows` weights.
fn sizes(name: &str, scores: &Var, rows: usize) -> [usize; 2] {
    let count = scores.value().len();
    assert!(
        rows > 0 && count.is_multiple_of(rows),
        "{name}: {rows} weights for scores {:?}",
        scores.shape()
    );
    [rows, count / rows]
}

/// Σ_r weights[r] · mean_j (x - y)² of scores x [rows, width] and numbers y.
///
/// # Panics
/// If the sizes do not fit.
pub fn square_error(scores: &Var, numbers: &[f32], weights: &[f32]) -> Var {
    let shape = sizes("square_error", scores, weights.len());
    let scores = ops::reshape(scores, shape);
    let wanted = constant(&scores, numbers, &shape);
    let squares = ops::square(&ops::sub(&scores, &wanted));
    let weights = spread(weights, shape[1], shape[1] as f32);
    ops::sum(&ops::mul(&squares, &constant(&squares, &weights, &shape)))
}

/// Σ_r weights[r] · mean_j (-y·ln σ(x) - (1 - y)·ln σ(-x)) of scores x [rows, width] and probabilities y: several labels
/// at once.
///
/// # Panics
/// If the sizes do not fit.
pub fn several_labels(scores: &Var, probabilities: &[f32], weights: &[f32]) -> Var {
    let shape = sizes("several_labels", scores, weights.len());
    let x = ops::reshape(scores, shape);
    let y = constant(&x, probabilities, &shape);
    let yes = ops::mul(&y, &ops::log_sigmoid(&x));
    let no = ops::mul(&ops::add_scalar(&ops::neg(&y), 1.0), &ops::log_sigmoid(&ops::neg(&x)));
    let weights = spread(weights, shape[1], -(shape[1] as f32));
    ops::sum(&ops::mul(&ops::add(&yes, &no), &constant(&x, &weights, &shape)))
}

/// Σ -ln σ(x) where `yes`, -ln σ(-x) elsewhere, of as many scores x: Clark et al. 2020, section 2.
///
/// # Panics
/// If the sizes do not fit.
pub fn yes_or_no(scores: &Var, yes: &[bool]) -> Var {
    let scores = ops::reshape(scores, [yes.len()]);
    let sign: Vec<f32> = yes.iter().map(|&yes| if yes { 1.0 } else { -1.0 }).collect();
    let sign = constant(&scores, &sign, &[yes.len()]);
    ops::neg(&ops::sum(&ops::log_sigmoid(&ops::mul(&scores, &sign))))
}

/// Σ_r weights[r] · -ln softmax(x_r)[right[r]] of scores x [rows, choices], or one for each choice in order. A row
/// without a right one does not count.
///
/// # Panics
/// If the sizes do not fit.
pub fn choice(scores: &Var, right: &[Option<usize>], weights: &[f32]) -> Var {
    let shape = sizes("choice", scores, right.len());
    let [rows, choices] = shape;
    assert_eq!(weights.len(), rows, "choice: {} weights for {rows} rows", weights.len());
    let mut each = vec![0.0; rows * choices];
    for (row, (right, weight)) in right.iter().zip(weights).enumerate() {
        if let Some(right) = right {
            each[row * choices + right] = -weight;
        }
    }
    let log_probs = ops::log_softmax(&ops::reshape(scores, shape));
    ops::sum(&ops::mul(&log_probs, &constant(&log_probs, &each, &shape)))
}

/// Scores of starts and of ends, [rows, time] each, of a head's scores [rows, time, 2].
///
/// # Panics
/// If the sizes do not fit.
pub fn span_scores(scores: &Var, [rows, time]: [usize; 2]) -> [Var; 2] {
    // Column by column, as rows of a table of single values.
    let single = ops::reshape(scores, [rows * time * 2, 1]);
    [0, 1].map(|column| {
        let places = (0..rows * time).map(|i| (2 * i + column) as i32).collect();
        ops::reshape(&super::rows(&single, places), [rows, time])
    })
}

/// Half the sum of the cross-entropies of starts and of ends (Devlin et al. 2019, section 4.2) over scores
/// [rows, time] each, with weights[r] for each row. `open` [rows · time] says where an answer may be; none
/// is everywhere, padding included, as in transformers.
///
/// # Panics
/// If the sizes do not fit.
pub fn span(
    [starts, ends]: &[Var; 2],
    spans: &[Span],
    weights: [&[f32]; 2],
    open: Option<&[bool]>,
) -> Var {
    let limited = |scores: &Var| match open {
        None => scores.clone(),
        Some(open) => {
            let lowered: Vec<f32> = open.iter().map(|&o| if o { 0.0 } else { -1e30 }).collect();
            ops::add(scores, &constant(scores, &lowered, scores.shape()))
        }
    };
    let loss = |scores: &Var, place: fn(&Span) -> Option<usize>, weights| {
        let places: Vec<_> = spans.iter().map(place).collect();
        choice(&limited(scores), &places, weights)
    };
    let [start, end] = [loss(starts, |s| s.start, weights[0]), loss(ends, |s| s.end, weights[1])];
    ops::scale(&ops::add(&start, &end), 0.5)
}
