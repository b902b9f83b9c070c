//! Curves from metrics: one column of metrics.jsonl as points, smoothed, and thinned for drawing.

use athanor_store::{
    Figure,
    figures::{EVAL, MetricsRow},
};
use serde_json::Value;

/// Points (x, y); y may be NaN, and the curve has a gap there.
pub type Points = Vec<(f64, f64)>;

/// Which lines of metrics.jsonl a curve is made from, by their `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Held-out figures: kind is `eval`.
    Heldout,
    /// Every other line.
    Train,
}

impl Rows {
    fn has(self, row: &MetricsRow) -> bool {
        (self == Self::Heldout) == (row.kind == EVAL)
    }
}

/// A figure of a line; NaN if it is null, JSON's NaN.
pub fn value(row: &MetricsRow, figure: &Figure) -> Option<f64> {
    match row.figures.get(figure.name)? {
        Value::Null => Some(f64::NAN),
        value => value.as_f64(),
    }
}

/// A figure over `step`; lines without it are passed over.
pub fn column(metrics: &[MetricsRow], rows: Rows, figure: &Figure) -> Points {
    let rows = metrics.iter().filter(|row| rows.has(row)).enumerate();
    let point = |(i, row): (usize, &MetricsRow)| {
        Some((row.step.map_or(i as f64, |step| step as f64), value(row, figure)?))
    };
    rows.filter_map(point).collect()
}

/// The last finite value.
pub fn last(points: &Points) -> Option<f64> {
    points.iter().rev().map(|p| p.1).find(|y| y.is_finite())
}

/// An exponential mean over about an eightieth of the curve, without the start's bias
/// (Kingma and Ba 2015, section 3); NaNs are passed over.
pub fn smooth(points: &Points) -> Points {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 80.0).max(2.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let finite = points.iter().filter(|p| p.1.is_finite());
    finite
        .map(|&(x, y)| {
            sum = keep * sum + (1.0 - keep) * y;
            weight = keep * weight + (1.0 - keep);
            (x, sum / weight)
        })
        .collect()
}

/// At most about `limit` points: the least and the greatest of each bucket, so that spikes stay.
pub fn thin(points: &Points, limit: usize) -> Points {
    if points.len() <= limit {
        return points.clone();
    }
    let size = (2 * points.len()).div_ceil(limit.max(2));
    let mut out = Vec::with_capacity(limit + 2);
    for bucket in points.chunks(size) {
        let finite = || bucket.iter().filter(|p| p.1.is_finite());
        let Some(low) = finite().min_by(|a, b| a.1.total_cmp(&b.1)) else {
            out.push(bucket[0]);
            continue;
        };
        let high = finite().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(low);
        let (first, second) = if low.0 <= high.0 { (low, high) } else { (high, low) };
        out.push(*first);
        if first != second {
            out.push(*second);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use athanor_store::figures::{LOSS, TRAIN};
    use serde_json::json;

    use super::*;

    #[test]
    fn null_is_a_gap_and_kinds_are_kept_apart() {
        let row = |kind: &str, step, loss: Option<Value>| MetricsRow {
            kind: kind.into(),
            step: Some(step),
            figures: loss.map(|loss| (LOSS.name.into(), loss)).into_iter().collect(),
            ..MetricsRow::default()
        };
        let rows = [
            row(TRAIN, 1, Some(json!(2.0))),
            row(TRAIN, 2, Some(Value::Null)),
            row(EVAL, 2, Some(json!(1.5))),
            row(TRAIN, 3, None),
        ];
        let train = column(&rows, Rows::Train, &LOSS);
        assert_eq!(train.len(), 2);
        assert!(train[1].1.is_nan());
        assert_eq!(column(&rows, Rows::Heldout, &LOSS), vec![(2.0, 1.5)]);
        assert_eq!(last(&train), Some(2.0));
        assert!(smooth(&train).iter().all(|p| p.1 == 2.0));
    }

    #[test]
    fn thinning_keeps_spikes() {
        let mut points: Points = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[5_000].1 = 9.0;
        points[7_000].1 = f64::NAN;
        let thinned = thin(&points, 500);
        assert!(thinned.len() <= 502);
        assert!(thinned.iter().any(|p| p.1 == 9.0));
        assert!(thinned.windows(2).all(|w| w[0].0 <= w[1].0));
    }
}
