//! What pretrain, finetune and reward share: the curves that every training loop writes.

use athanor_store::figures::{BITS_PER_BYTE, GRAD_NORM, LEARNING_RATE, LOSS, SPEED};
use serde_json::Value as Json;

use crate::{
    plot::{Figures, LinePlot},
    series::{Points, Rows, column, smooth},
};

/// A faint raw curve and its running mean; a short one is drawn as it is.
pub fn with_mean(plot: LinePlot, label: &'static str, points: Points) -> LinePlot {
    if points.len() < 40 {
        return plot.curve(label, "s1", points);
    }
    let mean = smooth(&points);
    plot.curve("each step", "s1 faint", points).curve(label, "s1", mean)
}

/// Loss, bits per byte, learning rate, gradient norm and speed; `unit` is the loss's.
pub fn curves(metrics: &[Json], unit: &'static str, text: bool) -> Figures {
    let train = |name| column(metrics, Rows::Train, &[name]);
    let heldout = |name| column(metrics, Rows::Heldout, &[name]);
    let mut figures = Figures::default();
    let plot = LinePlot::new("Loss", unit).log_beyond(50.0);
    let loss = with_mean(plot, "running mean", train(LOSS.name));
    figures.add(LOSS.title, loss.marked("held-out", "s2", heldout(LOSS.name)).figure());
    if text {
        let mut bits = heldout(BITS_PER_BYTE.name);
        let mut label = "held-out";
        if bits.is_empty() {
            (bits, label) = (smooth(&train(BITS_PER_BYTE.name)), "train, running mean");
        }
        let plot = LinePlot::of(&BITS_PER_BYTE).marked(label, "s2", bits);
        figures.add(BITS_PER_BYTE.title, plot.figure());
    }
    let accuracy = heldout("accuracy");
    if !accuracy.is_empty() {
        let plot = LinePlot::new("Accuracy", "share");
        let plot = with_mean(plot, "train, running mean", train("accuracy"));
        figures.add("accuracy", plot.marked("held-out", "s2", accuracy).figure());
    }
    let rate = LinePlot::of(&LEARNING_RATE).curve("at the end", "s3", train(LEARNING_RATE.name));
    figures.add(LEARNING_RATE.title, rate.figure());
    let norm = LinePlot::of(&GRAD_NORM).log_beyond(30.0);
    let norm = with_mean(norm, "running mean", train(GRAD_NORM.name));
    figures.add(GRAD_NORM.title, norm.figure());
    let speed = with_mean(LinePlot::of(&SPEED), "running mean", train(SPEED.name));
    figures.add(SPEED.title, speed.figure());
    figures
}
