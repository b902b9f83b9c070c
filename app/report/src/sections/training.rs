//! What pretrain, finetune and reward share: the curves that every training loop writes.

use serde_json::Value as Json;

use crate::{
    plot::{Figures, LinePlot},
    series::{Points, Rows, column, smooth},
};

/// Names under which the training loop may have written a figure.
const LOSS: &[&str] = &["loss", "train_loss"];
const HELDOUT: &[&str] = &["loss", "heldout_loss"];
const BITS: &[&str] = &["bits_per_byte", "heldout_bits_per_byte"];
const RATE: &[&str] = &["lr", "learning_rate"];
const NORM: &[&str] = &["grad_norm", "gradient_norm"];
const SPEED: &[&str] = &["tokens_per_second", "tokens_per_s"];

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
    let train = |keys| column(metrics, Rows::Train, keys);
    let mut figures = Figures::default();
    let heldout = column(metrics, Rows::Heldout, HELDOUT);
    let loss = with_mean(LinePlot::new("Loss", unit).log_beyond(50.0), "running mean", train(LOSS));
    figures.add("loss", loss.marked("held-out", "s2", heldout).figure());
    if text {
        let mut bits = column(metrics, Rows::Heldout, BITS);
        let mut label = "held-out";
        if bits.is_empty() {
            (bits, label) = (smooth(&train(BITS)), "train, running mean");
        }
        figures.add(
            "bits per byte",
            LinePlot::new("Bits per byte", "bits").marked(label, "s2", bits).figure(),
        );
    }
    let accuracy = column(metrics, Rows::Heldout, &["accuracy", "heldout_accuracy"]);
    if !accuracy.is_empty() {
        let plot = with_mean(
            LinePlot::new("Accuracy", "share"),
            "train, running mean",
            train(&["accuracy"]),
        );
        figures.add("accuracy", plot.marked("held-out", "s2", accuracy).figure());
    }
    figures.add(
        "learning rate",
        LinePlot::new("Learning rate", "").curve("at the end", "s3", train(RATE)).figure(),
    );
    let norm =
        with_mean(LinePlot::new("Gradient norm", "").log_beyond(30.0), "running mean", train(NORM));
    figures.add("gradient norm", norm.figure());
    let speed = with_mean(LinePlot::new("Speed", "tokens / s"), "running mean", train(SPEED));
    figures.add("speed", speed.figure());
    figures
}
