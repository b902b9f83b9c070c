//! summary.json of the stage finetune. Its figures are declared beside its tasks, and summary.json has their meaning.

use serde_json::{Map, Value};

use super::{Figure, PERPLEXITY, Training, describe::objects};

objects! {
    /// summary.json of the stage finetune.
    FinetuneSummary of "finetune" {
        /// The task.
        task: String, "";
        /// What every stage that trains writes.
        #[serde(flatten)]
        training: Training, "";
        /// Mean loss of held-out targets, which are tokens in a conversation and else answers;
        /// null without held-out examples.
        heldout_loss: Option<f64>, "nats";
        /// e to the loss; null if targets are not tokens.
        heldout_perplexity: Option<f64>, PERPLEXITY.unit;
        /// Figures of held-out examples, source by source, the task's own metric first.
        tasks: Vec<TaskFigure>, "";
        /// Updates that were withheld because loss or gradient was not finite.
        withheld_updates: Option<u64>, "";
        /// Rows that were learned from.
        examples_train: Option<u64>, "";
        /// Figures of each label over all held-out examples, in the labels' order.
        #[serde(skip_serializing_if = "Option::is_none")]
        per_label: Option<Vec<LabelRow>>, "";
        /// How often which label was taken for which; only with at most 40 labels.
        #[serde(skip_serializing_if = "Option::is_none")]
        confusion: Option<Confusion>, "";
        /// The 20 commonest pairs of a label and another one that was predicted in its place.
        #[serde(skip_serializing_if = "Option::is_none")]
        confused: Option<Vec<ConfusedLabels>>, "";
        /// Figures of each kind of entity over all held-out examples.
        #[serde(skip_serializing_if = "Option::is_none")]
        per_entity: Option<Vec<LabelRow>>, "";
        /// Figures of another version.
        #[serde(flatten)]
        others: Map<String, Value>, "";
    }

    /// A figure of a task, with its meaning.
    TaskFigure {
        /// The source that was measured.
        name: String, "";
        /// The figure's name in JSON.
        metric: String, "";
        /// Its name for people.
        title: String, "";
        /// What it says.
        about: String, "";
        /// Its value; null if it is not finite.
        value: Option<f64>, "";
        /// The value of another way to answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        baseline: Option<f64>, "";
        /// Which way that is.
        #[serde(skip_serializing_if = "Option::is_none")]
        baseline_is: Option<String>, "";
        /// How many examples were measured; words, if each word has a label.
        n: u64, "";
        /// Values of further ways to answer, by their names; `majority` answers the commonest label.
        #[serde(flatten)]
        others: Map<String, Value>, "";
    }

    /// Figures of a label or of a kind of entity.
    LabelRow {
        /// The label.
        label: String, "";
        /// Share of the predictions of this label that are right.
        precision: Option<f64>, "share";
        /// Share of the examples with this label that were found.
        recall: Option<f64>, "share";
        /// Harmonic mean of precision and recall.
        f1: Option<f64>, "share";
        /// Examples with this label.
        support: u64, "";
        /// Examples for which it was predicted.
        predicted: u64, "";
    }

    /// A confusion matrix.
    Confusion {
        /// The labels, in the order of rows and columns.
        labels: Vec<String>, "";
        /// Examples: a row for each right label, a column for each predicted one.
        counts: Vec<Vec<u64>>, "";
    }

    /// Two labels that were taken for each other.
    ConfusedLabels {
        /// The right one.
        right: String, "";
        /// The predicted one.
        predicted: String, "";
        /// How often.
        n: u64, "";
    }
}

impl TaskFigure {
    /// A figure's value on a source.
    pub fn new(source: &str, figure: &Figure, value: f64, n: u64) -> Self {
        Self {
            name: source.to_owned(),
            metric: figure.name.to_owned(),
            title: figure.title.to_owned(),
            about: figure.about.to_owned(),
            value: value.is_finite().then_some(value),
            n,
            ..Self::default()
        }
    }
}
