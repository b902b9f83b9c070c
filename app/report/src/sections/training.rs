//! What pretrain, finetune, reward and reinforce share: the curves that every training loop writes, and the figures of
//! a stage that trains a model of text.

use athanor_store::{
    Figure,
    figures::{
        ACCURACY, BITS_PER_BYTE, GRAD_NORM, LEARNING_RATE, LOSS, MetricsRow, SPEED, Summary,
    },
};

use super::{prelude::*, samples};
use crate::series::{Points, last, smooth};

/// A faint raw curve and its running mean; a short one is drawn as it is.
fn with_mean(plot: LinePlot, points: Points) -> LinePlot {
    const LABEL: &str = "running mean";
    if points.len() < 40 {
        return plot.curve(LABEL, "s1", points);
    }
    let mean = smooth(&points);
    plot.curve("each step", "s1 faint", points).curve(LABEL, "s1", mean)
}

/// A figure of each step with its running mean, and the same on held-out data if there is any.
pub fn curve(
    plot: LinePlot,
    metrics: &[MetricsRow],
    figure: &Figure,
    heldout: &'static str,
) -> LinePlot {
    let plot = with_mean(plot, column(metrics, Rows::Train, figure));
    plot.marked(heldout, "s2", column(metrics, Rows::Heldout, figure))
}

/// Loss, bits per byte and accuracy if there are such figures, learning rate, gradient norm and speed.
pub fn curves(metrics: &[MetricsRow]) -> Figures {
    let mut figures = Figures::default();
    let mut add = |plot: LinePlot, figure: &Figure| {
        figures.add(figure.title, curve(plot, metrics, figure, "held-out").figure());
    };
    add(LinePlot::of(&LOSS).log_beyond(50.0), &LOSS);
    for figure in [&BITS_PER_BYTE, &ACCURACY] {
        if metrics.iter().any(|row| row.figures.contains_key(figure.name)) {
            add(LinePlot::of(figure), figure);
        }
    }
    let rate = column(metrics, Rows::Train, &LEARNING_RATE);
    figures.add(
        LEARNING_RATE.title,
        LinePlot::of(&LEARNING_RATE).curve("at the end", "s3", rate).figure(),
    );
    let mut add = |plot: LinePlot, figure: &Figure| {
        figures.add(figure.title, curve(plot, metrics, figure, "").figure());
    };
    add(LinePlot::of(&GRAD_NORM).log_beyond(30.0), &GRAD_NORM);
    add(LinePlot::of(&SPEED), &SPEED);
    figures
}

/// A stage that trains a model of text.
pub struct Trained<'a, T> {
    pub stage: &'a StageFiles,
    /// The summary without the fields that are shown.
    pub rest: T,
    /// Held-out loss.
    pub loss: Option<f64>,
    /// Held-out bits per byte.
    pub bits: Option<f64>,
    pub parameters: Option<u64>,
    pub tokens: Option<u64>,
    /// Whether a loss is of a label, not of a token.
    pub labelled: bool,
}

impl<T: Summary> Trained<'_, T> {
    /// A held-out figure, or the last one in the metrics of a stage that was cut off.
    fn heldout(&self, known: Option<f64>, figure: &Figure) -> Option<f64> {
        known.or_else(|| last(&column(&self.stage.metrics, Rows::Heldout, figure)))
    }

    fn losses(&self) -> [Option<f64>; 2] {
        [self.heldout(self.loss, &LOSS), self.heldout(self.bits, &BITS_PER_BYTE)]
    }

    /// The key figures in one line.
    pub fn key(&self) -> String {
        let say = |figure: &Figure, value: f64| {
            let (unit, title) = (figure.unit.words(), figure.title);
            let value = format::number(value);
            // Bits per byte have their unit in their name.
            if title.starts_with(unit) {
                format!("{value} {title}")
            } else {
                format!("{title} {value} {unit}")
            }
        };
        let [loss, bits] = self.losses();
        let loss = loss.map(|loss| format!("held-out {}", say(&LOSS, loss)));
        let parts: Vec<String> =
            loss.into_iter().chain(bits.map(|b| say(&BITS_PER_BYTE, b))).collect();
        let training = || last(&column(&self.stage.metrics, Rows::Train, &LOSS));
        match parts.is_empty() {
            true => training().map_or_else(String::new, |l| format!("training {}", say(&LOSS, l))),
            false => parts.join(", "),
        }
    }

    /// What training.html shows of it.
    pub fn view(&self) -> Value {
        let stage = self.stage;
        let [loss, bits] = self.losses();
        let time = stage.seconds().filter(|s| *s > 0.0);
        view! {
            stage => header(stage, &self.rest),
            loss => loss,
            bits => bits,
            parameters => self.parameters,
            tokens => self.tokens,
            steps => column(&stage.metrics, Rows::Train, &LOSS).last().map(|p| p.0),
            speed => time.zip(self.tokens).map(|(s, n)| n as f64 / s),
            labelled => self.labelled,
            figures => curves(&stage.metrics),
            grid => samples::first_and_last(stage),
        }
    }
}
