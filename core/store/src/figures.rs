//! Figures: what a number of a summary, a table or a plot means. A figure is declared where it is computed;
//! tables, plots, glossary and documents take its name, unit and meaning from there.

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
    /// Natural units of information.
    Nats,
    /// Bits.
    Bits,
    /// A count of this.
    Count(&'static str),
}

/// Which values are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Greater ones.
    Higher,
    /// Smaller ones.
    Lower,
    /// Neither: it is watched.
    Neither,
}

impl Figure {
    /// A value with its unit, for people.
    pub fn show(&self, value: f64) -> String {
        match self.unit {
            Unit::Share => format!("{:.1} %", 100.0 * value),
            Unit::Number => format!("{value:.3}"),
            Unit::Nats => format!("{value:.3} nats"),
            Unit::Bits => format!("{value:.3} bits"),
            Unit::Count(what) => format!("{value:.0} {what}"),
        }
    }
}
