//! Curves over steps.

use std::borrow::Cow;

use super::{AREA, Figure, HEIGHT, Legend, axes, scale::Scale};
use crate::{
    format,
    series::{Points, last, thin},
};

/// Points drawn at most, for each curve: the page stays small and the picture the same.
const LIMIT: usize = 600;

/// Curves over one x axis.
#[derive(Debug)]
pub struct LinePlot {
    title: String,
    x_name: &'static str,
    y_name: &'static str,
    log_beyond: f64,
    curves: Vec<Curve>,
}

/// The name of a curve.
type Label = Cow<'static, str>;

#[derive(Debug)]
struct Curve {
    label: Label,
    class: &'static str,
    points: Points,
    marks: bool,
}

impl LinePlot {
    /// An empty plot over steps.
    pub fn new(title: &str, y_name: &'static str) -> Self {
        Self {
            title: title.into(),
            x_name: "step",
            y_name,
            log_beyond: f64::INFINITY,
            curves: Vec::new(),
        }
    }

    /// An empty plot of a figure over steps.
    pub fn of(figure: &athanor_store::Figure) -> Self {
        Self::new(&figure.heading(), figure.unit.words())
    }

    /// Names in the title what the figure is of.
    pub fn about(mut self, what: &str) -> Self {
        self.title += &format!(": {what}");
        self
    }

    /// Another name for the x axis.
    pub fn over(mut self, x_name: &'static str) -> Self {
        self.x_name = x_name;
        self
    }

    /// A logarithmic y axis if the greatest value is more than `span` times the least.
    pub fn log_beyond(mut self, span: f64) -> Self {
        self.log_beyond = span;
        self
    }

    /// Adds a curve; `class` is a colour of the style sheet, `s1` to `s5`, with `faint` for the unsmoothed.
    pub fn curve(self, label: impl Into<Label>, class: &'static str, points: Points) -> Self {
        self.with(Curve { label: label.into(), class, points, marks: false })
    }

    /// Adds a curve with a mark at each point: for figures that were taken now and then.
    pub fn marked(self, label: impl Into<Label>, class: &'static str, points: Points) -> Self {
        self.with(Curve { label: label.into(), class, points, marks: true })
    }

    fn with(mut self, curve: Curve) -> Self {
        self.curves.push(curve);
        self
    }

    /// Draws it; none if no curve has a finite value.
    pub fn figure(mut self) -> Option<Figure> {
        self.curves.retain(|c| last(&c.points).is_some());
        let all = || self.curves.iter().flat_map(|c| c.points.iter());
        let x = Scale::around(all().filter(|p| p.1.is_finite()).map(|p| p.0))?;
        let values: Vec<f64> = all().map(|p| p.1).filter(|y| y.is_finite()).collect();
        let (ceiling, beyond) = ceiling(&values);
        let y = Scale::wide(values.iter().map(|v| v.min(ceiling)), self.log_beyond)?;
        let mut body = axes(&x, &y, self.x_name, self.y_name);
        for curve in &self.curves {
            body += &draw(curve, &x, &y);
        }
        let mut notes = Vec::new();
        if y.is_log() {
            notes.push("logarithmic scale".to_owned());
        }
        if beyond > 0 && !y.is_log() {
            let peak = values.iter().copied().fold(f64::MIN, f64::max);
            notes.push(format!(
                "{} above the plot, the greatest is {}",
                format::plural(beyond, "value"),
                format::short(peak)
            ));
        }
        let gaps = all().filter(|p| !p.1.is_finite()).count();
        if gaps > 0 {
            notes
                .push(format!("{} not finite (a gap in the curve)", format::plural(gaps, "value")));
        }
        let legend = self.curves.iter().filter(|c| !c.label.is_empty()).map(|c| Legend {
            class: c.class,
            label: c.label.to_string(),
            value: match c.class.contains("faint") {
                true => String::new(),
                false => last(&c.points).map_or_else(String::new, format::number),
            },
        });
        Some(Figure::new(&self.title, HEIGHT, &body, legend.collect(), notes.join("; ")))
    }
}

/// Where to cut the y axis so that a few spikes do not flatten the curve, and how many values are beyond.
fn ceiling(values: &[f64]) -> (f64, usize) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    if sorted.len() < 50 {
        return (f64::INFINITY, 0);
    }
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    let (low, high) = (at(0.01), at(0.98));
    let cut = high + 2.0 * (high - low);
    let beyond = sorted.iter().rev().take_while(|v| **v > cut).count();
    if high > low && beyond > 0 { (cut, beyond) } else { (f64::INFINITY, 0) }
}

fn draw(curve: &Curve, x: &Scale, y: &Scale) -> String {
    let place =
        |p: &(f64, f64)| (x.place(p.0, AREA.left, AREA.right), y.place(p.1, AREA.bottom, AREA.top));
    let points = thin(&curve.points, LIMIT);
    let mut path = String::new();
    let mut pen = 'M';
    for point in &points {
        if !point.1.is_finite() || !point.0.is_finite() {
            pen = 'M';
            continue;
        }
        let (px, py) = place(point);
        path += &format!("{pen}{px:.1} {py:.1}");
        pen = 'L';
    }
    let mut out = format!("<path d=\"{path}\" class=\"curve {}\"/>", curve.class);
    if curve.marks && points.len() <= 80 {
        for point in points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
            let (px, py) = place(point);
            let (step, value) = (format::number(point.0), format::number(point.1));
            out += &format!(
                "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"2.8\" class=\"mark {}\"><title>{step}: {value}</title></circle>",
                curve.class
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_break_the_curve_and_nothing_is_nan() {
        let points = vec![
            (0.0, 3.0),
            (1.0, f64::NAN),
            (2.0, 2.0),
            (3.0, f64::INFINITY),
            (f64::NAN, 1.0),
            (4.0, 1.0),
        ];
        let figure = LinePlot::new("loss", "nats").curve("train", "s1", points).figure().unwrap();
        assert_eq!(figure.svg.matches('M').count(), 3);
        assert!(!figure.svg.contains("NaN") && !figure.svg.contains("inf"), "{}", figure.svg);
        assert!(figure.note.contains("2 values not finite"));
    }

    #[test]
    fn one_spike_does_not_flatten_the_rest() {
        let mut points: Points =
            (0..200).map(|i| (f64::from(i), 2.0 + 0.01 * f64::from(i % 7))).collect();
        points[100].1 = 1e6;
        let figure = LinePlot::new("loss", "").curve("", "s1", points).figure().unwrap();
        assert!(figure.note.contains("1 value above the plot"), "{}", figure.note);
        assert!(
            LinePlot::new("none", "").curve("", "s1", vec![(0.0, f64::NAN)]).figure().is_none()
        );
    }
}
