//! The labels of a task: their names and numbers.

use std::collections::{BTreeMap, BTreeSet};

use athanor_models::{Model, heads};
use athanor_store::{Error, Result};

/// Names in their order; a label's number is its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    names: Vec<String>,
    numbers: BTreeMap<String, usize>,
    /// Whether a number stands for the label of this number.
    by_number: bool,
}

impl Labels {
    /// Named labels, in this order.
    pub fn new(names: Vec<String>) -> Self {
        let numbers = names.iter().enumerate().map(|(i, n)| (n.clone(), i)).collect();
        Self { names, numbers, by_number: false }
    }

    /// The labels of a fine-tuned model. Data sets that number its labels are understood, too.
    pub(crate) fn of_model(model: &Model) -> Self {
        let count = model.head().labels();
        let names = heads::names(&model.config);
        let names = names.unwrap_or_else(|| (0..count).map(|i| format!("LABEL_{i}")).collect());
        Self { by_number: true, ..Self::new(names) }
    }

    /// The labels that the recipe names; all that were found, sorted, where it names none.
    ///
    /// # Errors
    /// Input, if there is nothing to tell apart.
    pub(crate) fn collect<'a>(
        named: &[String],
        found: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self> {
        let labels = match named.is_empty() {
            false => Self::new(named.to_vec()),
            true => {
                let all: BTreeSet<&str> = found.into_iter().map(String::as_str).collect();
                Self::new(all.into_iter().map(str::to_owned).collect())
            }
        };
        match &labels.names[..] {
            [] => Err(Error::input("there is no label").at("finetune.data")),
            [only] => Err(Error::input(format!(
                "every example has the label {only:?}: there is nothing to tell apart"
            ))
            .at("finetune.data")
            .hint("does `label` name the right field?")),
            _ => Ok(labels),
        }
    }

    /// All names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A label's number.
    ///
    /// # Errors
    /// Input, with the known labels.
    pub fn number(&self, name: &str, place: &str) -> Result<usize> {
        let number = || name.parse().ok().filter(|&n| self.by_number && n < self.names.len());
        self.numbers.get(name).copied().or_else(number).ok_or_else(|| {
            let shown: Vec<&str> = self.names.iter().take(12).map(String::as_str).collect();
            let more = if self.names.len() > shown.len() { ", …" } else { "" };
            Error::input(format!("{name:?} is none of the labels")).at(place).hint(format!(
                "known: {}{more}; in a recipe finetune.labels names all, also those that only the \
                 held-out file has, and `only` leaves examples out",
                shown.join(", ")
            ))
        })
    }

    /// Whether they are marks of spans, such as B-PER, I-PER and O.
    pub fn spans(&self) -> bool {
        let mark = |l: &String| ["B-", "I-", "E-", "S-"].iter().any(|m| l.starts_with(m));
        self.names.iter().any(mark) && self.names.iter().all(|l| l == "O" || mark(l))
    }
}
