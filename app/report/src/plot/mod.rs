//! Small SVG plots; their colours come from the page's style sheet.
//!
//! Our own rather than a plotting crate's: those write colours and font sizes into each element,
//! and one picture could then not serve a light page, a dark page, a phone and paper.
//! Nothing but numbers and escaped text goes into the SVG.

mod bars;
mod line;
mod scale;
mod scatter;
mod strip;

pub use bars::{Bar, grouped, histogram, stacked};
pub use line::LinePlot;
pub use scatter::{Dot, calibration, frontier};
pub use strip::{strip, strip_of_numbers};

use serde::Serialize;

/// A plot with its words.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What is shown, and in which unit.
    pub title: String,
    /// The picture, read out by screen readers under the title; safe to put into a page as it is.
    pub svg: String,
    /// The curves: class for the colour, name, last value.
    pub legend: Vec<Legend>,
    /// What a reader must know to read it right.
    pub note: String,
}

/// One entry of a figure's legend.
#[derive(Clone, Debug, Serialize)]
pub struct Legend {
    pub class: &'static str,
    pub label: String,
    pub value: String,
}

/// Figures of a section, and the names of those that had no data.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    pub shown: Vec<Figure>,
    pub absent: Vec<String>,
}

impl Figure {
    /// A picture of this height from its body.
    fn new(
        title: &str,
        height: f64,
        body: &str,
        legend: Vec<Legend>,
        note: impl Into<String>,
    ) -> Self {
        let svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">{body}</svg>",
            escape(title)
        );
        Self { title: title.into(), svg, legend, note: note.into() }
    }
}

impl Figures {
    /// Adds those of another list behind these.
    pub fn extend(&mut self, others: Self) {
        self.shown.extend(others.shown);
        self.absent.extend(others.absent);
    }

    /// Adds a figure, or notes that there was nothing to draw.
    pub fn add(&mut self, name: &str, figure: Option<Figure>) {
        match figure {
            Some(figure) => self.shown.push(figure),
            None => self.absent.push(name.into()),
        }
    }
}

/// Width and height in user units: on a phone one unit is about 0.75 pixels.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 260.0;

/// The rectangle inside the axes.
#[derive(Clone, Copy, Debug)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

const AREA: Area = Area { left: 62.0, right: WIDTH - 14.0, top: 14.0, bottom: HEIGHT - 42.0 };

fn text(x: f64, y: f64, anchor: &str, class: &str, words: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{}</text>",
        escape(words)
    )
}

/// A point with the words that are shown when it is pointed at; `opacity` from 0 to 1.
fn dot((x, y): (f64, f64), radius: f64, opacity: f64, words: &str) -> String {
    format!(
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill-opacity=\"{opacity:.2}\" class=\"dot s1\"><title>{}</title></circle>",
        escape(words)
    )
}

/// The grid of the y axis with its labels, and the line of the x axis.
fn frame(y: &scale::Scale, label: impl Fn(f64, String) -> String) -> String {
    let mut out = String::new();
    for (value, text_of) in y.ticks(5) {
        let at = y.place(value, AREA.bottom, AREA.top);
        out += &segment(AREA.left, at, AREA.right, at, "grid");
        out += &text(AREA.left - 7.0, at + 4.0, "end", "tick", &label(value, text_of));
    }
    out + &segment(AREA.left, AREA.bottom, AREA.right, AREA.bottom, "axis")
}

/// The x axis' name.
fn name_of_x(name: &str) -> String {
    text((AREA.left + AREA.right) / 2.0, HEIGHT - 6.0, "middle", "name", name)
}

fn segment(x1: f64, y1: f64, x2: f64, y2: f64, class: &str) -> String {
    format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>")
}

/// Text for use in an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML does not allow these.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Grid, ticks and axis names around `AREA`.
fn axes(x: &scale::Scale, y: &scale::Scale, x_name: &str, y_name: &str) -> String {
    let a = AREA;
    let mut out = frame(y, |_, label| label);
    for (value, label) in x.ticks(6) {
        let at = x.place(value, a.left, a.right);
        out += &segment(at, a.bottom, at, a.bottom + 4.0, "axis");
        out += &text(at, a.bottom + 18.0, "middle", "tick", &label);
    }
    out += &name_of_x(x_name);
    if !y_name.is_empty() {
        let (x, y) = (12.0, (a.top + a.bottom) / 2.0);
        out += &format!(
            "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"middle\" class=\"name\" transform=\"rotate(-90 {x} {y:.1})\">{}</text>",
            escape(y_name)
        );
    }
    out
}
