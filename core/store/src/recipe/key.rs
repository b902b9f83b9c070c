//! What a section says about its keys.

use std::fmt;

use serde_json::Value;

/// One key of a section.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name in the recipe.
    pub name: String,
    /// Its doc, line by line.
    pub doc: String,
    /// Its default; `Null` where nothing is set.
    pub default: Value,
    /// What it holds.
    pub shape: Shape,
    /// Whether it is only about watching the work (logging, checkpoint cadence, threads): such a key
    /// changes no result and is not part of fingerprints.
    pub watch: bool,
}

/// What a key holds.
#[derive(Clone, Debug)]
pub enum Shape {
    /// `true` or `false`.
    Bool,
    /// A whole number, 0 or more.
    Whole,
    /// A finite number.
    Number,
    /// Text.
    Text,
    /// A file or folder, relative to the recipe.
    Path,
    /// One of these names; what each is.
    Choice(Vec<(&'static str, &'static str)>),
    /// Something, or nothing at all.
    Optional(Box<Shape>),
    /// A list.
    List(Box<Shape>),
    /// A nested section; in a list, an array of tables.
    Section(Vec<Key>),
}

impl Key {
    /// A key with its default; a nested section's keys get theirs from it. The doc of a key that takes one of
    /// several names goes on with a line for each.
    pub fn new(name: &str, doc: &[&str], watch: bool, mut shape: Shape, default: Value) -> Self {
        shape.set_defaults(&default);
        let doc: Vec<_> = doc.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        let mut doc = doc.join("\n").trim().to_owned();
        for (name, about) in shape.choices() {
            doc.push_str(&format!("\n  {name}: {about}"));
        }
        Self { name: name.to_owned(), doc, default, shape, watch }
    }

    /// Gives it another default, and the keys nested in it theirs.
    pub(crate) fn set_default(&mut self, default: &Value) {
        self.default = default.clone();
        self.shape.set_defaults(default);
    }

    /// The keys nested in it: those of a section, or of a list's sections.
    pub fn keys(&self) -> &[Key] {
        self.shape.keys()
    }
}

impl Shape {
    /// The keys of a section, of a list of sections or of an optional one.
    pub fn keys(&self) -> &[Key] {
        match self {
            Self::Section(keys) => keys,
            Self::Optional(inner) | Self::List(inner) => inner.keys(),
            _ => &[],
        }
    }

    /// The names that it takes one of, or a list of; none if it takes others.
    fn choices(&self) -> &[(&'static str, &'static str)] {
        match self {
            Self::Choice(all) => all,
            Self::Optional(inner) | Self::List(inner) => inner.choices(),
            _ => &[],
        }
    }

    /// Whether it is a list of sections: an array of tables in TOML.
    pub fn is_tables(&self) -> bool {
        matches!(self, Self::List(inner) if matches!(**inner, Self::Section(_)))
    }

    pub(super) fn set_defaults(&mut self, default: &Value) {
        if let (Self::Section(keys), Value::Object(values)) = (&mut *self, default) {
            for key in keys {
                if let Some(value) = values.get(&key.name) {
                    key.set_default(value);
                }
            }
        } else if let (Self::Optional(inner), Value::Object(_)) = (self, default) {
            inner.set_defaults(default);
        }
    }
}

impl fmt::Display for Shape {
    /// As errors and `athanor recipe` say it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("true or false"),
            Self::Whole => f.write_str("a whole number, 0 or more"),
            Self::Number => f.write_str("a number"),
            Self::Text => f.write_str("a text in quotes"),
            Self::Path => f.write_str("a path in quotes"),
            Self::Choice(all) => {
                let all: Vec<_> = all.iter().map(|(name, _)| format!("{name:?}")).collect();
                write!(f, "one of {}", all.join(", "))
            }
            Self::Optional(inner) => inner.fmt(f),
            Self::Section(_) => f.write_str("a table"),
            Self::List(inner) => match **inner {
                Self::Bool => f.write_str("a list of true and false"),
                Self::Whole => f.write_str("a list of whole numbers"),
                Self::Number => f.write_str("a list of numbers"),
                Self::Text => f.write_str("a list of texts"),
                Self::Path => f.write_str("a list of paths"),
                Self::Choice(_) => f.write_str("a list of names"),
                Self::Section(_) => f.write_str("a list of tables"),
                Self::Optional(_) | Self::List(_) => f.write_str("a list of lists"),
            },
        }
    }
}
