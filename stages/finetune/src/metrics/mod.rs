//! Figures of predictions, equal to those of the programs that others report with: scikit-learn, seqeval, scipy.

mod classes;
mod entities;
mod numbers;

use athanor_store::{Better, Figure, Unit};

pub use classes::{ClassFigures, Confusion};
pub use entities::{Entities, EntityFigures, entities};
pub use numbers::{pearson, spearman};

const fn share(name: &'static str, title: &'static str, about: &'static str) -> Figure {
    Figure { name, title, unit: Unit::Share, about, better: Better::Higher }
}

const fn correlation(name: &'static str, title: &'static str, about: &'static str) -> Figure {
    Figure { name, title, unit: Unit::Number, about, better: Better::Higher }
}

/// Share of right answers.
pub static ACCURACY: Figure =
    share("accuracy", "accuracy", "Share of examples (or words) whose label is the right one.");
/// Mean F1 of the labels.
pub static MACRO_F1: Figure = share(
    "macro_f1",
    "macro F1",
    "Mean of the labels' F1, the harmonic mean of precision and recall: rare labels count as much as common \
     ones (scikit-learn's f1_score with average=\"macro\").",
);
/// F1 of the second of two labels.
pub static F1: Figure = share(
    "f1",
    "F1 of the second label",
    "Harmonic mean of precision and recall of the second of two labels, as in GLUE.",
);
/// Matthews' correlation.
pub static MATTHEWS: Figure = correlation(
    "matthews",
    "Matthews' correlation",
    "Correlation of right and predicted labels: 1 is perfect, 0 is no better than chance, whatever the labels' \
     shares (Gorodkin 2004).",
);
/// F1 of entities.
pub static ENTITY_F1: Figure = share(
    "entity_f1",
    "F1 of entities",
    "Harmonic mean of precision and recall of entities; an entity is right if its type, first and last word are \
     (CoNLL's script; seqeval).",
);
/// Precision of entities.
pub static ENTITY_PRECISION: Figure = share(
    "entity_precision",
    "precision of entities",
    "Share of predicted entities that are right.",
);
/// Recall of entities.
pub static ENTITY_RECALL: Figure =
    share("entity_recall", "recall of entities", "Share of right entities that were predicted.");
/// Pearson's correlation.
pub static PEARSON: Figure = correlation(
    "pearson",
    "Pearson's correlation",
    "Linear correlation of predicted and right numbers (scipy.stats.pearsonr).",
);
/// Spearman's correlation.
pub static SPEARMAN: Figure = correlation(
    "spearman",
    "Spearman's correlation",
    "Correlation of the ranks of predicted and right numbers (scipy.stats.spearmanr).",
);
/// Mean square error.
pub static MSE: Figure = Figure {
    name: "mse",
    title: "mean square error",
    unit: Unit::Number,
    about: "Mean square of the difference between predicted and right number.",
    better: Better::Lower,
};
/// All figures of fine-tuning tasks.
pub static ALL: &[&Figure] = &[
    &ACCURACY,
    &MACRO_F1,
    &MATTHEWS,
    &F1,
    &ENTITY_F1,
    &ENTITY_PRECISION,
    &ENTITY_RECALL,
    &PEARSON,
    &SPEARMAN,
    &MSE,
];
