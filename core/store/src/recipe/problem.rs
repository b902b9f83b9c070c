//! What is wrong with a section's values.

use std::fmt;

use super::{
    nearest,
    tree::{Item, Node},
};
use crate::Error;

/// What a check found, and at which key, so that the error can show its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    key: String,
    what: String,
}

impl Problem {
    /// A problem with a key (nested: `"train.steps"`): what is wrong, and what would be right.
    pub fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into() }
    }

    /// A problem with `key` unless `good`.
    ///
    /// # Errors
    /// The problem.
    pub fn unless(
        good: bool,
        key: impl Into<String>,
        what: impl Into<String>,
    ) -> std::result::Result<(), Self> {
        if good { Ok(()) } else { Err(Self::new(key, what)) }
    }

    /// A problem unless `found` is one of `known`; names the nearest.
    ///
    /// # Errors
    /// The problem.
    pub fn unless_one_of(
        key: impl Into<String>,
        found: &str,
        known: &[&str],
    ) -> std::result::Result<(), Self> {
        if known.contains(&found) {
            return Ok(());
        }
        let near = nearest(found, known.iter().copied());
        let near = near.map_or(String::new(), |n| format!("; did you mean {n:?}?"));
        let list: Vec<_> = known.iter().map(|k| format!("{k:?}")).collect();
        Err(Self::new(key, format!("found {found:?}, expected one of {}{near}", list.join(", "))))
    }

    /// The same problem seen from the section around: `steps` → `train.steps`.
    #[must_use]
    pub fn within(self, section: &str) -> Self {
        let key =
            if self.key.is_empty() { section.into() } else { format!("{section}.{}", self.key) };
        Self { key, what: self.what }
    }

    /// The key, from the section on; empty for a section as a whole.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// As an error about a command line's option of the key's name.
    pub fn of_option(&self) -> Error {
        Error::input(&self.what).at(format!("--{}", self.key))
    }

    /// The problem in words, for a section of this name.
    pub(super) fn in_section(&self, section: &str) -> String {
        let whole = self.clone().within(section).key;
        match whole.rsplit_once('.') {
            Some((section, key)) if !self.key.is_empty() => {
                format!("`{key}` in [{section}]: {}", self.what)
            }
            _ => format!("[{section}]: {}", self.what),
        }
    }

    /// Where it was given: the key's place, or that of the section nearest around it.
    pub(super) fn place<'a>(&self, section: &'a Node) -> &'a str {
        let mut node = section;
        for part in self.key.split('.') {
            let next = match &node.item {
                Item::List(list) => part.parse().ok().and_then(|i: usize| list.get(i)),
                _ => node.get(part),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        &node.place
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => f.write_str(&self.what),
            key => write!(f, "`{key}`: {}", self.what),
        }
    }
}

impl std::error::Error for Problem {}
