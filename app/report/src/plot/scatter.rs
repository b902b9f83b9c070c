//! Points: predicted against observed, and reward against KL.

use super::{AREA, Figure, HEIGHT, axes, dot, scale::Scale, segment, text};
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

/// Where a dot is on the picture.
fn placed(x: &Scale, y: &Scale, dot: &Dot) -> (f64, f64) {
    (x.place(dot.x, AREA.left, AREA.right), y.place(dot.y, AREA.bottom, AREA.top))
}

/// Predicted (along x) against observed shares, both from 0 to 1 (from a half, if all are above), with the diagonal
/// of the perfectly calibrated; a larger point has more pairs.
pub fn calibration(title: &str, of: [&athanor_store::Figure; 2], dots: &[Dot]) -> Option<Figure> {
    let dots = finite(dots);
    let most = dots.iter().map(|d| d.weight).filter(|w| w.is_finite()).fold(0.0, f64::max);
    let least = dots.iter().map(|d| d.x.min(d.y)).reduce(f64::min)?;
    let low = if least >= 0.5 { 0.5 } else { 0.0 };
    let scale = Scale::linear(low, 1.0);
    let mut body = axes(&scale, &scale, of[0].title, of[1].title);
    body += &segment(AREA.left, AREA.bottom, AREA.right, AREA.top, "reference");
    let place = |dot: &Dot| placed(&scale, &scale, dot);
    body += &path(&dots, place, "curve s1");
    for point in &dots {
        let share = if most > 0.0 && point.weight.is_finite() {
            (point.weight / most).clamp(0.0, 1.0)
        } else {
            0.25
        };
        let words = format!(
            "predicted {}, observed {}, {} pairs",
            format::percent(point.x),
            format::percent(point.y),
            format::count(point.weight)
        );
        body += &dot(place(point), 3.0 + 5.0 * share.sqrt(), 1.0, &words);
    }
    let note = "on the dashed diagonal the model is as sure as it is right; below it, too sure; larger points hold more pairs";
    Some(Figure::new(title, HEIGHT, &body, Vec::new(), note))
}

/// One figure (along y) against another, one point for each iteration, stronger as training goes on.
pub fn frontier(along: [&athanor_store::Figure; 2], dots: &[Dot]) -> Option<Figure> {
    let dots = finite(dots);
    let x = Scale::around(dots.iter().map(|d| d.x))?;
    let y = Scale::around(dots.iter().map(|d| d.y))?;
    let [of_x, of_y] = along;
    let axis = |of: &athanor_store::Figure| match of.unit.words() {
        "" => of.title.to_owned(),
        unit => format!("{} ({unit})", of.title),
    };
    let mut body = axes(&x, &y, &axis(of_x), &axis(of_y));
    let place = |dot: &Dot| placed(&x, &y, dot);
    body += &path(&dots, place, "curve s1 faint");
    let every = dots.len().div_ceil(400).max(1);
    for (i, point) in dots.iter().enumerate().step_by(every) {
        let [step, reached, at] = [point.weight, point.y, point.x].map(format::number);
        let words = format!("iteration {step}: {} {reached} at {} {at}", of_y.title, of_x.title);
        let opacity = 0.2 + 0.8 * (i + 1) as f64 / dots.len() as f64;
        body += &dot(place(point), 3.4, opacity, &words);
    }
    if let (Some(first), Some(last), true) = (dots.first(), dots.last(), dots.len() > 1) {
        for (point, word) in [(first, "start"), (last, "end")] {
            let (px, py) = place(point);
            let (anchor, shift) =
                if px > (AREA.left + AREA.right) / 2.0 { ("end", -8.0) } else { ("start", 8.0) };
            body +=
                &text(px + shift, (py + 16.0).min(AREA.bottom - 6.0), anchor, "value halo", word);
        }
    }
    let note = "each point is one iteration, the later the stronger; up is better, right is further from where it began";
    let title = format!("{} against {}", of_y.heading(), of_x.title);
    Some(Figure::new(&title, HEIGHT, &body, Vec::new(), note))
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
    use athanor_store::figures::{KL, REWARD};

    use super::*;

    #[test]
    fn missing_values_leave_no_trace() {
        let dots = [
            Dot { x: 0.6, y: 0.55, weight: f64::NAN },
            Dot { x: f64::NAN, y: 0.5, weight: 3.0 },
            Dot { x: 0.9, y: 0.95, weight: 40.0 },
        ];
        let of = [&KL, &REWARD];
        for figure in [calibration("c", of, &dots), frontier(of, &dots)] {
            let svg = figure.unwrap().svg;
            assert!(!svg.contains("NaN"), "{svg}");
            assert_eq!(svg.matches("<circle").count(), 2);
        }
        assert!(calibration("c", of, &[]).is_none() && frontier(of, &[]).is_none());
    }
}
