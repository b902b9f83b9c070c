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

pub use corpus::CorpusSummary;
pub use describe::{Field, Shape, Summary, fields_table};
pub use finetune::{ConfusedLabels, Confusion, FinetuneSummary, LabelRow, TaskFigure};
pub use metrics::{EVAL, Logged, MetricsRow, SUPERVISED, TRAIN};
pub use pretrain::{Masking, PretrainSummary};
pub use reinforce::ReinforceSummary;
pub use reward::{CalibrationRow, GapRow, GroupRow, RewardSummary};
pub use shared::*;

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

impl From<&'static str> for Unit {
    fn from(words: &'static str) -> Self {
        Self::of(words)
    }
}

impl Unit {
    /// The unit of these words: `share`, none for a plain number, else a name.
    pub const fn of(words: &'static str) -> Self {
        match words.as_bytes() {
            b"share" => Self::Share,
            b"" => Self::Number,
            _ => Self::Named(words),
        }
    }

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

/// Declares figures: `NAME = "name in JSON", "title", "unit", better;` behind a doc comment, which is the meaning. In
/// groups `of "stage" { … }` behind a name there is a list of all of them, too.
#[macro_export]
macro_rules! figures {
    (
        $(#[doc = $list:literal])+
        $all:ident
        $(of $stage:literal {
            $( $(#[doc = $about:literal])+ $id:ident = $name:literal, $title:literal, $unit:literal, $better:ident; )+
        })+
    ) => {
        $crate::figures! {
            $($( $(#[doc = $about])+ $id = $name, $title, $unit, $better; )+)+
        }

        $(#[doc = $list])+
        pub static $all: &[(&str, &[&$crate::Figure])] = &[$(($stage, &[$(&$id),+])),+];
    };
    ($( $(#[doc = $about:literal])+ $id:ident = $name:literal, $title:literal, $unit:literal, $better:ident; )+) => {
        $(
            $(#[doc = $about])+
            pub static $id: $crate::Figure = $crate::Figure {
                name: $name,
                title: $title,
                unit: $crate::Unit::of($unit),
                // A line of a doc comment begins with a space.
                about: ::std::concat!($($about),+).trim_ascii(),
                better: $crate::Better::$better,
            };
        )+
    };
}

/// Figures as a table in Markdown, for docs/contracts.md: groups as in [`ALL`].
pub fn table(groups: &[(&str, &[&Figure])]) -> String {
    let mut out = "| stage | name | title | unit | better | meaning |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for (stage, figures) in groups {
        for Figure { name, title, unit, about, better } in *figures {
            let (unit, better) = (unit.words(), better.words());
            out += &format!("| {stage} | `{name}` | {title} | {unit} | {better} | {about} |\n");
        }
    }
    out
}
