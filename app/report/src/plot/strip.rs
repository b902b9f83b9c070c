//! A strip plot: each group's values as dots above its name, their mean as a line.

use super::{AREA, Figure, HEIGHT, dot, frame, scale::Scale, segment, text};
use crate::format;

/// A group's name and values.
pub type Group = (String, Vec<f64>);

/// How values are written on the axis, closely, and the least margin around them.
struct Unit {
    tick: fn(f64) -> String,
    value: fn(f64) -> String,
    margin: f64,
}

/// Shares (0 to 1) by group, with a dashed line at `reference`.
pub fn strip(title: &str, groups: &[Group], reference: Option<f64>) -> Option<Figure> {
    let tick = |v: f64| format!("{:.1} %", 100.0 * v);
    draw(title, groups, reference, &Unit { tick, value: format::percent, margin: 0.005 })
}

/// Plain numbers by group.
pub fn strip_of_numbers(title: &str, groups: &[Group]) -> Option<Figure> {
    let unit = Unit { tick: format::short, value: format::number, margin: 1e-3 };
    draw(title, groups, None, &unit)
}

fn draw(title: &str, groups: &[Group], reference: Option<f64>, unit: &Unit) -> Option<Figure> {
    let finite = |v: &&f64| v.is_finite();
    let all = groups.iter().flat_map(|g| &g.1).chain(&reference).filter(finite);
    let (low, high) =
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    if low > high {
        return None;
    }
    let margin = (0.08 * (high - low)).max(unit.margin);
    let y = Scale::linear(low - margin, high + margin);
    let mut body = frame(&y, |value, _| (unit.tick)(value));
    let slot = (AREA.right - AREA.left) / groups.len().max(1) as f64;
    for (i, (name, values)) in groups.iter().enumerate() {
        let middle = AREA.left + slot * (i as f64 + 0.5);
        // Names take turns on two lines.
        let line = AREA.bottom + if i % 2 == 0 { 17.0 } else { 33.0 };
        body += &text(middle, line, "middle", "tick", &format::clip(name, 16));
        let values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        if values.is_empty() {
            continue;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let at = y.place(mean, AREA.bottom, AREA.top);
        body += &segment(middle - 0.3 * slot, at, middle + 0.3 * slot, at, "axis");
        for value in values {
            let at = y.place(value, AREA.bottom, AREA.top);
            body += &dot((middle, at), 4.0, 1.0, &format!("{name}: {}", (unit.value)(value)));
        }
    }
    let mut note = "dots: seeds; lines: means".to_owned();
    if let Some(value) = reference.filter(|v| v.is_finite()) {
        let at = y.place(value, AREA.bottom, AREA.top);
        body += &segment(AREA.left, at, AREA.right, at, "reference");
        note += &format!("; dashed: baseline, {}", (unit.value)(value));
    }
    Some(Figure::new(title, HEIGHT, &body, Vec::new(), note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_for_each_value_and_names_escaped() {
        let groups = [("<b>".to_owned(), vec![0.7, 0.8]), ("c".to_owned(), vec![f64::NAN])];
        let figure = strip("t", &groups, Some(0.5)).unwrap();
        assert_eq!(figure.svg.matches("<circle").count(), 2);
        assert!(figure.svg.contains("&lt;b&gt;") && !figure.svg.contains("NaN"));
        assert!(figure.note.contains("50"));
        assert!(strip("t", &[], None).is_none());
        assert!(strip("t", &[("a".to_owned(), vec![0.5])], None).is_some());
    }
}
