//! Bars: side by side, as a histogram, and as one bar cut into shares.

use super::{
    AREA, Figure, HEIGHT, Legend, WIDTH, escape, frame, name_of_x, scale::Scale, segment, text,
};
use crate::format;

/// One group of bars under a label, or one share of a stacked bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Under the group.
    pub label: String,
    /// One value for each series; NaN is left out.
    pub values: Vec<f64>,
}

fn rect(x: f64, y: f64, width: f64, height: f64, class: &str, title: &str) -> String {
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" class=\"{class}\"><title>{}</title></rect>",
        width.max(0.0),
        height.max(0.0),
        escape(title)
    )
}

/// Shares (0 to 1) side by side, one colour for each series, with a dashed line at `chance`.
pub fn grouped(
    title: &str,
    x_name: &str,
    series: &[(&'static str, &str)],
    groups: &[Bar],
    chance: f64,
) -> Option<Figure> {
    let finite = groups.iter().flat_map(|g| &g.values).filter(|v| v.is_finite());
    finite.clone().next()?;
    let y = Scale::linear(0.0, finite.fold(1.0, |a, b| a.max(*b)));
    let mut body = frame(&y, |value, _| format!("{:.0} %", 100.0 * value)) + &name_of_x(x_name);
    let slot = (AREA.right - AREA.left) / groups.len() as f64;
    let each = (slot * 0.76 / series.len().max(1) as f64).min(46.0);
    for (i, group) in groups.iter().enumerate() {
        let middle = AREA.left + slot * (i as f64 + 0.5);
        let first = middle - each * series.len() as f64 / 2.0;
        for (j, (value, (class, name))) in group.values.iter().zip(series).enumerate() {
            if !value.is_finite() {
                continue;
            }
            let top = y.place(*value, AREA.bottom, AREA.top);
            let left = first + each * j as f64;
            let words = format!("{name}, {}: {}", group.label, format::percent(*value));
            body += &rect(
                left + 1.0,
                top,
                each - 2.0,
                AREA.bottom - top,
                &format!("bar {class}"),
                &words,
            );
            if each >= 22.0 {
                body += &text(
                    left + each / 2.0,
                    top - 4.0,
                    "middle",
                    "value",
                    &format!("{:.0}", 100.0 * value),
                );
            }
        }
        if groups.len() <= 8 || i % groups.len().div_ceil(8) == 0 {
            body += &text(
                middle,
                AREA.bottom + 18.0,
                "middle",
                "tick",
                &format::clip(&group.label, 14),
            );
        }
    }
    let line = y.place(chance, AREA.bottom, AREA.top);
    body += &segment(AREA.left, line, AREA.right, line, "reference");
    let legend = series.iter().map(|(class, name)| Legend {
        class,
        label: (*name).into(),
        value: String::new(),
    });
    let note = format!("dashed: chance, {}", format::percent(chance));
    Some(Figure::new(title, HEIGHT, &body, legend.collect(), note))
}

/// Counts between edges; `edges` has one more entry than `counts`, or as many (the last bin is open).
pub fn histogram(title: &str, x_name: &str, edges: &[f64], counts: &[f64]) -> Option<Figure> {
    // Empty bins at the end say nothing.
    let filled = counts.iter().rposition(|c| *c > 0.0).map_or(0, |last| last + 1);
    let counts = &counts[..filled];
    let edges = &edges[..edges.len().min(filled + 1)];
    let most = counts.iter().copied().filter(|c| c.is_finite()).fold(0.0, f64::max);
    if counts.is_empty() || edges.len() < counts.len() || most <= 0.0 {
        return None;
    }
    let y = Scale::linear(0.0, most * 1.05);
    let mut body = frame(&y, |_, label| label) + &name_of_x(x_name);
    let slot = (AREA.right - AREA.left) / counts.len() as f64;
    let every = (edges.len()).div_ceil(8);
    for (i, count) in counts.iter().enumerate().filter(|(_, c)| c.is_finite()) {
        let top = y.place(*count, AREA.bottom, AREA.top);
        let to = edges.get(i + 1).map_or_else(|| "more".into(), |e| format::count(*e));
        let words = format!("{} to {to}: {}", format::count(edges[i]), format::count(*count));
        let left = AREA.left + slot * i as f64;
        body += &rect(left + 0.5, top, slot - 1.0, AREA.bottom - top, "bar s1", &words);
    }
    for (i, edge) in edges.iter().enumerate().step_by(every).filter(|(_, e)| e.is_finite()) {
        let at = AREA.left + slot * i as f64;
        body += &segment(at, AREA.bottom, at, AREA.bottom + 4.0, "axis");
        body += &text(at, AREA.bottom + 18.0, "middle", "tick", &format::count(*edge));
    }
    Some(Figure::new(title, HEIGHT, &body, Vec::new(), ""))
}

/// One horizontal bar cut into shares of their sum: where bytes went.
pub fn stacked(title: &str, parts: &[(String, f64)], show: fn(f64) -> String) -> Option<Figure> {
    const CLASSES: [&str; 6] = ["s1", "s2", "s3", "s4", "s5", "s6"];
    let value = |v: f64| if v.is_finite() && v > 0.0 { v } else { 0.0 };
    let whole: f64 = parts.iter().map(|p| value(p.1)).sum();
    if whole <= 0.0 {
        return None;
    }
    let mut body = String::new();
    let mut left = 0.0;
    let mut legend = Vec::new();
    for (i, (label, part)) in parts.iter().enumerate() {
        let share = value(*part) / whole;
        let class = CLASSES[i % CLASSES.len()];
        let words = format!("{label}: {} ({})", show(value(*part)), format::percent(share));
        body += &rect(left, 0.0, share * WIDTH, 14.0, &format!("bar {class}"), &words);
        left += share * WIDTH;
        legend.push(Legend {
            class,
            label: label.clone(),
            value: format!("{} ({})", show(value(*part)), format::percent(share)),
        });
    }
    Some(Figure::new(title, 14.0, &body, legend, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_nothing_is_nan() {
        let groups = [Bar { label: "<b>".into(), values: vec![0.7, f64::NAN] }];
        let figure =
            grouped("gap", "x", &[("s1", "model"), ("s2", "TF-IDF")], &groups, 0.5).unwrap();
        assert!(figure.svg.contains("&lt;b&gt;") && !figure.svg.contains("NaN"));
        assert!(grouped("gap", "x", &[("s1", "model")], &[], 0.5).is_none());
        assert!(histogram("h", "x", &[0.0], &[1.0, 2.0]).is_none());
        assert!(histogram("h", "x", &[0.0, 10.0, 20.0], &[1.0, f64::NAN]).is_some());
        assert!(stacked("s", &[("a".into(), f64::NAN)], format::bytes).is_none());
        let figure = stacked("s", &[("a".into(), 3.0), ("b".into(), 1.0)], format::bytes).unwrap();
        assert_eq!(figure.legend[1].value, "1 B (25.0 %)");
    }
}
