//! Curves from metrics: one column of metrics.jsonl as points, smoothed, and thinned for drawing.

use serde_json::Value;

use crate::run_files::number;

/// Points (x, y); y may be NaN, and the curve has a gap there.
pub type Points = Vec<(f64, f64)>;

/// Which lines of metrics.jsonl a curve is made from, by their `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Held-out figures: kind is `eval`, `heldout` or `validation`.
    Heldout,
    /// Every other line.
    Train,
}

impl Rows {
    fn has(self, row: &Value) -> bool {
        let kind = row.get("kind").and_then(Value::as_str).unwrap_or("train");
        (self == Self::Heldout) == matches!(kind, "eval" | "heldout" | "validation")
    }
}

/// The first of `keys` over `step`. `null` (JSON's NaN) becomes NaN; lines without the key are passed over.
pub fn column(metrics: &[Value], rows: Rows, keys: &[&str]) -> Points {
    let rows = metrics.iter().filter(|row| rows.has(row)).enumerate();
    rows.filter_map(|(i, row)| {
        let x = number(row, &["step", "iteration"]).unwrap_or(i as f64);
        let null =
            || keys.iter().any(|k| row.get(*k).is_some_and(Value::is_null)).then_some(f64::NAN);
        Some((x, number(row, keys).or_else(null)?))
    })
    .collect()
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
    use super::*;
    use serde_json::json;

    #[test]
    fn null_is_a_gap_and_kinds_are_kept_apart() {
        let rows = [
            json!({"kind":"train","step":1,"loss":2.0}),
            json!({"kind":"train","step":2,"loss":null}),
            json!({"kind":"eval","step":2,"loss":1.5}),
            json!({"kind":"train","step":3}),
        ];
        let train = column(&rows, Rows::Train, &["loss"]);
        assert_eq!(train.len(), 2);
        assert!(train[1].1.is_nan());
        assert_eq!(column(&rows, Rows::Heldout, &["loss"]), vec![(2.0, 1.5)]);
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
