//! The own keys of a registry's entries: one section each of a type that only the entry knows.

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use super::{Entry as _, Registered};
use crate::{
    Result,
    recipe::{
        Key, KeyType, Node, Problem, Section, Shape, json, section_key, table_of, unknown_key,
    },
};

/// An entry's own keys: a [`Section`] of a type that only the entry knows.
#[derive(Clone, Copy)]
pub struct OwnKeys {
    key: fn(&str, &str) -> Key,
    read: fn(&Node, &str, &Value) -> Result<Value>,
    parse: fn(Value) -> serde_json::Result<Value>,
    check: fn(&Value) -> std::result::Result<(), Problem>,
}

impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnKeys")
    }
}

impl OwnKeys {
    /// Those of a section.
    pub const fn of<S: Section>() -> Self {
        Self {
            key: section_key::<S>,
            read: |node, name, now| Ok(json(&S::read(node, name, typed::<S>(now))?)),
            parse: |value| Ok(json(&S::deserialize(value)?)),
            check: |value| typed::<S>(value).check_all(),
        }
    }
}

/// A value that was made from a section, as the section.
fn typed<S: Section>(value: &Value) -> S {
    S::deserialize(value)
        .unwrap_or_else(|e| panic!("an entry's keys read as those of another: {e}"))
}

/// The own keys of all entries of a registry that have some, by the entry's name. As a key of a section it is a table
/// with a table for each entry: `[corpus.settings.NAME]`.
pub struct OwnTables<T> {
    values: Map<String, Value>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for OwnTables<T> {
    fn clone(&self) -> Self {
        Self { values: self.values.clone(), of: PhantomData }
    }
}

impl<T> PartialEq for OwnTables<T> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl<T> fmt::Debug for OwnTables<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.fmt(f)
    }
}

impl<T: Registered> Default for OwnTables<T> {
    /// All keys at their defaults.
    fn default() -> Self {
        let values = tables::<T>().map(|(entry, keys)| {
            (entry.name().to_owned(), (keys.key)(entry.name(), entry.about()).default)
        });
        Self { values: values.collect(), of: PhantomData }
    }
}

/// The entries that have keys, with these.
fn tables<T: Registered>() -> impl Iterator<Item = (&'static T, OwnKeys)> {
    T::registry().iter().filter_map(|entry| Some((entry, entry.keys()?)))
}

impl<T> OwnTables<T> {
    fn value(&self, name: &str) -> &Value {
        self.values.get(name).unwrap_or(&Value::Null)
    }

    /// All of them as JSON, by the entry's name.
    pub(super) fn values(&self) -> &Map<String, Value> {
        &self.values
    }
}

impl<T: Registered> OwnTables<T> {
    /// The own keys of the entry `name`.
    ///
    /// # Panics
    /// If its keys are not those of `S`: an entry asks for its own.
    pub fn of<S: Section>(&self, name: &str) -> S {
        typed(self.value(name))
    }

    /// Puts other keys in place of those of the entry `name`.
    pub fn set<S: Section>(&mut self, name: &str, keys: &S) {
        self.values.insert(name.to_owned(), json(keys));
    }

    /// A key for each table; `doc` says what an entry's is.
    pub(super) fn keys(&self, doc: impl Fn(&'static T) -> String) -> Vec<Key> {
        let key = |(entry, keys): (&'static T, OwnKeys)| {
            let mut key = (keys.key)(entry.name(), &doc(entry));
            key.set_default(self.value(entry.name()));
            key
        };
        tables::<T>().map(key).collect()
    }

    /// Reads the table of the entry `key`, if it has one; says whether it has.
    pub(super) fn read_table(&mut self, key: &str, node: &Node, name: &str) -> Result<bool> {
        let Some((_, keys)) = tables::<T>().find(|(entry, _)| entry.name() == key) else {
            return Ok(false);
        };
        let read = (keys.read)(node, name, self.value(key))?;
        self.values.insert(key.to_owned(), read);
        Ok(true)
    }

    /// The first problem of the tables, at the entry's name.
    pub(super) fn check(&self) -> std::result::Result<(), Problem> {
        tables::<T>().try_for_each(|(entry, keys)| {
            (keys.check)(self.value(entry.name())).map_err(|p| p.within(entry.name()))
        })
    }

    /// Takes the tables that are in a map out of it.
    pub(super) fn take(&mut self, map: &mut Map<String, Value>) -> serde_json::Result<()> {
        for (entry, keys) in tables::<T>() {
            if let Some(value) = map.shift_remove(entry.name()) {
                self.values.insert(entry.name().to_owned(), (keys.parse)(value)?);
            }
        }
        Ok(())
    }
}

impl<T: Registered> KeyType for OwnTables<T> {
    fn shape() -> Shape {
        Shape::Section(Self::default().keys(|entry| format!("{}.", capitalised(entry.about()))))
    }

    fn read(node: &Node, name: &str, mut default: Self) -> Result<Self> {
        for (key, value) in table_of(node, name)? {
            if !default.read_table(key, value, &format!("{name}.{key}"))? {
                return Err(unknown_key(value, key, name, Self::shape().keys()));
            }
        }
        Ok(default)
    }

    fn blank() -> Self {
        Self::default()
    }

    fn check_nested(&self) -> std::result::Result<(), Problem> {
        self.check()
    }
}

impl<T> Serialize for OwnTables<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.values.serialize(serializer)
    }
}

impl<'de, T: Registered> Deserialize<'de> for OwnTables<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut map = Map::deserialize(deserializer)?;
        let mut tables = Self::default();
        tables.take(&mut map).map_err(D::Error::custom)?;
        match map.keys().next() {
            None => Ok(tables),
            Some(key) => Err(D::Error::custom(format_args!("unknown key `{key}`"))),
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}
