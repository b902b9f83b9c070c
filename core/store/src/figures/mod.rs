//! Figures: what a number of a summary, a table or a plot means. This folder declares the figures that several stages
//! or the report know (shared.rs) and each stage's summary.json. A figure that only one task or algorithm knows is
//! declared beside it. Titles of plots, the report's glossary and the tables in docs/contracts.md come from the
//! declarations.

mod corpus;
mod describe;
mod finetune;
mod metrics;
mod pretrain;
mod reinforce;
mod reward;
mod shared;

use serde::{Deserialize, Serialize};

pub use corpus::{
    CorpusSummary, DOCUMENT_LENGTH, DOCUMENT_PERPLEXITY, PAIR_CHANCE, VOCABULARY_GROWTH,
};
pub use describe::{Field, Shape, Summary, fields_table};
pub use finetune::{ConfusedLabels, Confusion, FinetuneSummary, LabelRow, TaskFigure};
pub use metrics::{EVAL, Logged, MetricsRow, SUPERVISED, TRAIN};
pub use pretrain::{
    BIGRAM_ACCURACY, BIGRAM_LOSS, BOTH_SIDES_ACCURACY, BOTH_SIDES_LOSS, F1, GENERATOR_ACCURACY,
    GENERATOR_LOSS, MAJORITY, Masking, PAIRS_ACCURACY, PAIRS_LOSS, PAIRS_MAJORITY, PRECISION,
    PretrainSummary, RECALL, UNIGRAM_ACCURACY, UNIGRAM_LOSS,
};
pub use reinforce::{
    CLIP_FRACTION, DISTINCT2, ENTROPY, EXPLAINED_VARIANCE, FINISHED, KL, LENGTH, LOGPROB_GAP,
    MARGIN, POLICY_LOSS, REWARD, REWARD_STD, ReinforceSummary, VALUE_LOSS,
};
pub use reward::{
    CalibrationRow, ECE, GAP, GapRow, GroupRow, HELDOUT_ACCURACY, OBSERVED, PREDICTED,
    RewardSummary, TFIDF_ACCURACY,
};
pub use shared::{
    ACCURACY, BITS_PER_BYTE, BYTES_PER_TOKEN, FLOPS, GRAD_NORM, LEARNING_RATE, LOSS, PERPLEXITY,
    SPEED, TOKENS, WITHHELD,
};

/// A figure's name and meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// What it says, in a sentence or two, with the source of its definition.
    pub about: &'static str,
    /// Which values are better.
    pub better: Better,
}

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share from 0 to 1, shown as percent.
    Share,
    /// A number without a unit.
    Number,
    /// Something that has a name: nats, bytes a token.
    Named(&'static str),
}

/// Which values are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Greater ones.
    Higher,
    /// Smaller ones.
    Lower,
    /// Neither: it is watched.
    Neither,
}

impl Unit {
    /// In words; empty for a plain number.
    pub fn words(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Number => "",
            Self::Named(unit) => unit,
        }
    }
}

impl Better {
    /// In a word.
    pub fn words(self) -> &'static str {
        match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
            Self::Neither => "",
        }
    }
}

impl Figure {
    /// A value with its unit, for people.
    pub fn show(&self, value: f64) -> String {
        match self.unit {
            Unit::Share => format!("{:.1} %", 100.0 * value),
            Unit::Number => format!("{value:.3}"),
            Unit::Named(unit) => format!("{value:.3} {unit}"),
        }
    }

    /// Its title with a capital, for headings.
    pub fn heading(&self) -> String {
        let mut title = self.title.to_owned();
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        title
    }
}

/// Declares figures: `NAME = "name in JSON", "title", unit, better;` behind a doc comment, which is the meaning. With
/// `LIST:` behind a doc comment in front there is a list of all of them, too.
#[macro_export]
macro_rules! figures {
    (
        $(#[doc = $list:literal])+
        $all:ident:
        $( $(#[doc = $about:literal])+ $id:ident = $name:literal, $title:literal, $unit:expr, $better:ident; )+
    ) => {
        $crate::figures! {
            $( $(#[doc = $about])+ $id = $name, $title, $unit, $better; )+
        }

        $(#[doc = $list])+
        pub static $all: &[&$crate::Figure] = &[$(&$id),+];
    };
    (
        $( $(#[doc = $about:literal])+ $id:ident = $name:literal, $title:literal, $unit:expr, $better:ident; )+
    ) => {
        $(
            $(#[doc = $about])+
            pub static $id: $crate::Figure = $crate::Figure {
                name: $name,
                title: $title,
                unit: $unit,
                // A line of a doc comment begins with a space.
                about: ::std::concat!($($about),+).trim_ascii(),
                better: $crate::Better::$better,
            };
        )+
    };
}

/// The figures that stages and the report share, in the report's order: (stage, figures), the stage empty for figures
/// of several stages.
pub static ALL: &[(&str, &[&Figure])] = &[
    ("", shared::ALL),
    ("corpus", corpus::ALL),
    ("pretrain", pretrain::ALL),
    ("reward", reward::ALL),
    ("reinforce", reinforce::ALL),
];

/// Figures as a table in Markdown, for docs/contracts.md.
pub fn table(figures: &[&Figure]) -> String {
    let row = |f: &&Figure| {
        let (unit, better) = (f.unit.words(), f.better.words());
        format!("| `{}` | {} | {unit} | {better} | {} |\n", f.name, f.title, f.about)
    };
    let head = "| name | title | unit | better | meaning |\n|---|---|---|---|---|\n";
    head.to_owned() + &figures.iter().map(row).collect::<String>()
}
