//! Points: predicted against observed, and reward against KL.

use super::{AREA, Figure, HEIGHT, axes, scale::Scale, segment, svg, text};
use crate::format;

/// One point with its weight or time.
#[derive(Clone, Copy, Debug)]
pub struct Dot {
    /// Place along x.
    pub x: f64,
    /// Place along y.
    pub y: f64,
    /// The number of pairs, or the iteration.
    pub weight: f64,
}

fn finite(dots: &[Dot]) -> Vec<Dot> {
    dots.iter().copied().filter(|d| d.x.is_finite() && d.y.is_finite()).collect()
}

/// Predicted against observed, both from 0 to 1 (or from a half, where all are above), with the diagonal of the
/// perfectly calibrated; a larger point stands for more pairs.
pub fn calibration(title: &str, dots: &[Dot]) -> Option<Figure> {
    let dots = finite(dots);
    let most = dots.iter().map(|d| d.weight).filter(|w| w.is_finite()).fold(0.0, f64::max);
    let least = dots.iter().map(|d| d.x.min(d.y)).reduce(f64::min)?;
    let low = if least >= 0.5 { 0.5 } else { 0.0 };
    let scale = Scale::linear(low, 1.0);
    let mut body = axes(&scale, &scale, "predicted probability", "observed share");
    body += &segment(AREA.left, AREA.bottom, AREA.right, AREA.top, "reference");
    let place = |d: &Dot| {
        (scale.place(d.x, AREA.left, AREA.right), scale.place(d.y, AREA.bottom, AREA.top))
    };
    body += &path(&dots, place, "curve s1");
    for dot in &dots {
        let (x, y) = place(dot);
        let share = if most > 0.0 && dot.weight.is_finite() {
            (dot.weight / most).clamp(0.0, 1.0)
        } else {
            0.25
        };
        let words = format!(
            "predicted {}, observed {}, {} pairs",
            format::percent(dot.x),
            format::percent(dot.y),
            format::count(dot.weight)
        );
        let r = 3.0 + 5.0 * share.sqrt();
        body += &format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\" class=\"dot s1\"><title>{words}</title></circle>"
        );
    }
    let note = "on the dashed diagonal the model is as sure as it is right; below it, too sure; larger points hold more pairs";
    Some(Figure {
        title: title.into(),
        svg: svg(title, HEIGHT, &body),
        legend: Vec::new(),
        note: note.into(),
    })
}

/// Reward against KL, one point for each iteration, stronger as training goes on.
pub fn frontier(title: &str, dots: &[Dot]) -> Option<Figure> {
    let dots = finite(dots);
    let x = Scale::around(dots.iter().map(|d| d.x))?;
    let y = Scale::around(dots.iter().map(|d| d.y))?;
    let mut body = axes(&x, &y, "KL from the reference (nats)", "mean reward");
    let place =
        |d: &Dot| (x.place(d.x, AREA.left, AREA.right), y.place(d.y, AREA.bottom, AREA.top));
    body += &path(&dots, place, "curve s1 faint");
    let every = dots.len().div_ceil(400).max(1);
    for (i, dot) in dots.iter().enumerate().step_by(every) {
        let (px, py) = place(dot);
        let opacity = 0.2 + 0.8 * (i + 1) as f64 / dots.len() as f64;
        body += &format!(
            "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3.4\" fill-opacity=\"{opacity:.2}\" class=\"dot s1\"><title>iteration {}: reward {} at KL {}</title></circle>",
            format::number(dot.weight),
            format::number(dot.y),
            format::number(dot.x)
        );
    }
    if let (Some(first), Some(last), true) = (dots.first(), dots.last(), dots.len() > 1) {
        for (dot, word) in [(first, "start"), (last, "end")] {
            let (px, py) = place(dot);
            let (anchor, shift) =
                if px > (AREA.left + AREA.right) / 2.0 { ("end", -8.0) } else { ("start", 8.0) };
            body +=
                &text(px + shift, (py + 16.0).min(AREA.bottom - 6.0), anchor, "value halo", word);
        }
    }
    let note = "each point is one iteration, the later the stronger; up is better, right is further from where it began";
    Some(Figure {
        title: title.into(),
        svg: svg(title, HEIGHT, &body),
        legend: Vec::new(),
        note: note.into(),
    })
}

fn path(dots: &[Dot], place: impl Fn(&Dot) -> (f64, f64), class: &str) -> String {
    let mut d = String::new();
    for (i, dot) in dots.iter().enumerate() {
        let (x, y) = place(dot);
        d += &format!("{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    format!("<path d=\"{d}\" class=\"{class}\"/>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_leave_no_trace() {
        let dots = [
            Dot { x: 0.6, y: 0.55, weight: f64::NAN },
            Dot { x: f64::NAN, y: 0.5, weight: 3.0 },
            Dot { x: 0.9, y: 0.95, weight: 40.0 },
        ];
        for figure in [calibration("c", &dots), frontier("f", &dots)] {
            let svg = figure.unwrap().svg;
            assert!(!svg.contains("NaN"), "{svg}");
            assert_eq!(svg.matches("<circle").count(), 2);
        }
        assert!(calibration("c", &[]).is_none() && frontier("f", &[]).is_none());
    }
}
