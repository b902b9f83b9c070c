//! The choice of a registry's entry.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Registered, own::OwnTables};
use crate::{
    Result,
    recipe::{Key, KeyType, Node, Problem, Section, Shape, json},
};

/// A key that names an entry of a registry, and the entries' own keys: beside `optimizer = "adamw"` stands a
/// table `[train.adamw]` for each entry that has keys.
pub struct Choice<T> {
    name: String,
    own: OwnTables<T>,
}

impl<T> Clone for Choice<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), own: self.own.clone() }
    }
}

impl<T> PartialEq for Choice<T> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.own == other.own
    }
}

impl<T> fmt::Debug for Choice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choice").field("name", &self.name).field("own", &self.own).finish()
    }
}

impl<T> fmt::Display for Choice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<T: Registered> From<&str> for Choice<T> {
    /// With the entries' own keys at their defaults. Whether there is such an entry is a check of the section.
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), own: OwnTables::default() }
    }
}

impl<T: Registered> Choice<T> {
    /// The name of the chosen entry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The chosen entry.
    ///
    /// # Errors
    /// Those of [`Registry::find`]; none for a section that was checked.
    pub fn entry(&self) -> Result<&'static T> {
        T::registry().find(&self.name)
    }

    /// The chosen entry's own keys.
    ///
    /// # Panics
    /// If its keys are not those of `S`: an entry asks for its own.
    pub fn own<S: Section>(&self) -> S {
        self.own_of(&self.name)
    }

    /// The own keys of the entry `name`, chosen or not.
    ///
    /// # Panics
    /// As [`own`](Self::own).
    pub fn own_of<S: Section>(&self, name: &str) -> S {
        self.own.of(name)
    }

    /// The same choice with other keys for the entry `name`.
    #[must_use]
    pub fn with_own<S: Section>(mut self, name: &str, keys: &S) -> Self {
        self.own.set(name, keys);
        self
    }
}

impl<T: Registered> Serialize for Choice<T> {
    /// The name alone; the own keys are written beside it by [`KeyType::write_field`].
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.name.serialize(serializer)
    }
}

impl<'de, T: Registered> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| Self::from(name.as_str()))
    }
}

impl<T: Registered> KeyType for Choice<T> {
    fn shape() -> Shape {
        Shape::Choice(T::registry().iter().map(|e| (e.name(), e.about())).collect())
    }

    fn read(node: &Node, name: &str, default: Self) -> Result<Self> {
        let chosen = node.as_text().ok_or_else(|| node.mismatch(name, &Self::shape()))?;
        Ok(Self { name: chosen.to_owned(), ..default })
    }

    fn blank() -> Self {
        T::registry().names().next().unwrap_or_default().into()
    }

    fn check_nested(&self) -> std::result::Result<(), Problem> {
        let names: Vec<&str> = T::registry().names().collect();
        Problem::unless_one_of("", &self.name, &names)?;
        self.own.check()
    }

    fn field_keys(&self, name: &str, doc: &[&str], watch: bool) -> Vec<Key> {
        let mut all = vec![Key::new(name, doc, watch, Self::shape(), json(self))];
        let mut own = self.own.keys(|e| format!("Keys of {}: {}.", e.name(), e.about()));
        own.iter_mut().for_each(|key| key.watch = watch);
        all.extend(own);
        all
    }

    fn read_field(&mut self, field: &str, key: &str, node: &Node, name: &str) -> Result<bool> {
        if field == key {
            *self = Self::read(node, name, self.clone())?;
            return Ok(true);
        }
        self.own.read_table(key, node, name)
    }

    fn check_field(&self, field: &str) -> std::result::Result<(), Problem> {
        self.check_nested().map_err(|p| if p.key().is_empty() { p.within(field) } else { p })
    }

    fn write_field(&self, field: &str, map: &mut Map<String, Value>) {
        map.insert(field.to_owned(), json(self));
        map.extend(self.own.values().clone());
    }

    fn take_field(&mut self, field: &str, map: &mut Map<String, Value>) -> serde_json::Result<()> {
        if let Some(value) = map.shift_remove(field) {
            self.name = String::deserialize(value)?;
        }
        self.own.take(map)
    }
}
