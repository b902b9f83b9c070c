//! The types that a key may have, and how each is read.

use std::path::PathBuf;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    json,
    key::{Key, Shape},
    problem::Problem,
    tree::{Item, Node},
};
use crate::{Error, Result};

/// A type that a key of a [`section!`](crate::section) may have: bool, u64, usize, f64, String,
/// PathBuf, a section, a [`Choice`](crate::Choice), and `Option` and `Vec` of these.
///
/// The methods that end in `_field` are about the field of a section that has this type. Their defaults are
/// for a field that is one key; a choice is one key and a table for each entry of its registry.
pub trait KeyType: Sized + Clone + Serialize + DeserializeOwned {
    /// What it holds.
    fn shape() -> Shape;

    /// Reads a value. `default` is what holds for keys that a nested section does not give; `name`
    /// is the full key for errors (`pretrain.train.steps`).
    ///
    /// # Errors
    /// An input error at the node's place, with what was found and what was expected.
    fn read(node: &Node, name: &str, default: Self) -> Result<Self>;

    /// A value to start from where there is no default: an element of a list.
    fn blank() -> Self;

    /// Checks the sections inside.
    ///
    /// # Errors
    /// The first problem, its key relative to this value.
    fn check_nested(&self) -> std::result::Result<(), Problem> {
        Ok(())
    }

    /// The section's keys that the field `name` is, this value their default.
    fn field_keys(&self, name: &str, doc: &[&str], watch: bool) -> Vec<Key> {
        vec![Key::new(name, doc, watch, Self::shape(), json(self))]
    }

    /// Reads the section's key `key` if it is one of the field `field`; says whether it was. `name` is the
    /// full key for errors.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    fn read_field(&mut self, field: &str, key: &str, node: &Node, name: &str) -> Result<bool> {
        if field != key {
            return Ok(false);
        }
        *self = Self::read(node, name, self.clone())?;
        Ok(true)
    }

    /// Checks the field, with all that is inside.
    ///
    /// # Errors
    /// The first problem, its key relative to the section.
    fn check_field(&self, field: &str) -> std::result::Result<(), Problem> {
        self.check_nested().map_err(|p| p.within(field))
    }

    /// Writes the field's keys into its section's JSON.
    fn write_field(&self, field: &str, map: &mut Map<String, Value>) {
        map.insert(field.to_owned(), json(self));
    }

    /// Takes the field's keys, those that are there, out of its section's JSON.
    ///
    /// # Errors
    /// serde's, for a value of another type.
    fn take_field(&mut self, field: &str, map: &mut Map<String, Value>) -> serde_json::Result<()> {
        if let Some(value) = map.shift_remove(field) {
            *self = serde_json::from_value(value)?;
        }
        Ok(())
    }
}

/// `pretrain.train.steps` → `` `steps` in [pretrain.train] ``.
fn spoken(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((section, key)) => format!("`{key}` in [{section}]"),
        None => format!("`{name}`"),
    }
}

impl Node {
    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.item {
            Item::Text(s) => Some(s),
            // `--set name=12`: the shell would have taken quotes away.
            _ => self.typed.as_deref(),
        }
    }

    /// The error for a value of the wrong type.
    pub(crate) fn mismatch(&self, name: &str, expected: &Shape) -> Error {
        Error::input(format_args!("{}: found {}, expected {expected}", spoken(name), self.found()))
            .at(&self.place)
    }
}

macro_rules! scalar {
    ($type:ty, $shape:ident, $node:ident => $value:expr) => {
        impl KeyType for $type {
            fn shape() -> Shape {
                Shape::$shape
            }

            fn read($node: &Node, name: &str, _: Self) -> Result<Self> {
                $value.ok_or_else(|| $node.mismatch(name, &Shape::$shape))
            }

            fn blank() -> Self {
                Self::default()
            }
        }
    };
}

scalar!(bool, Bool, node => match node.item {
    Item::Bool(b) => Some(b),
    _ => None,
});
scalar!(u64, Whole, node => whole(node));
scalar!(usize, Whole, node => whole(node));
scalar!(f64, Number, node => match node.item {
    Item::Integer(i) => Some(i as f64),
    // An infinite or undefined number makes no sense in any key, and JSON cannot hold it.
    Item::Float(x) if x.is_finite() => Some(x),
    _ => None,
});
scalar!(String, Text, node => node.as_text().map(str::to_owned));
scalar!(PathBuf, Path, node => node.as_text().map(PathBuf::from));

fn whole<T: TryFrom<i64>>(node: &Node) -> Option<T> {
    match node.item {
        Item::Integer(i) => T::try_from(i).ok(),
        _ => None,
    }
}

impl<T: KeyType> KeyType for Option<T> {
    fn shape() -> Shape {
        Shape::Optional(Box::new(T::shape()))
    }

    fn read(node: &Node, name: &str, default: Self) -> Result<Self> {
        T::read(node, name, default.unwrap_or_else(T::blank)).map(Some)
    }

    fn blank() -> Self {
        None
    }

    fn check_nested(&self) -> std::result::Result<(), Problem> {
        self.as_ref().map_or(Ok(()), T::check_nested)
    }
}

impl<T: KeyType> KeyType for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn read(node: &Node, name: &str, _: Self) -> Result<Self> {
        match &node.item {
            Item::List(list) => list.iter().map(|n| T::read(n, name, T::blank())).collect(),
            _ => Err(node.mismatch(name, &Self::shape())),
        }
    }

    fn blank() -> Self {
        Vec::new()
    }

    fn check_nested(&self) -> std::result::Result<(), Problem> {
        let mut each = self.iter().enumerate();
        each.try_for_each(|(i, v)| v.check_nested().map_err(|p| p.within(&i.to_string())))
    }
}
