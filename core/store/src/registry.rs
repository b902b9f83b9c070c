//! Registries: all the things of one kind (tasks, objectives, optimisers) that a recipe or the command line
//! names. Errors, help, a recipe's doc lines and the entries' own keys come from the registry, so that a new
//! entry is a line in it and nothing else.
//!
//! ```
//! use athanor_store::{Check, Choice, OwnKeys, Recipe, Registry, registered, section};
//!
//! section! {
//!     /// Keys of AdamW.
//!     pub struct AdamW {
//!         /// Decay of the mean gradient.
//!         beta1: f64 = 0.9,
//!     }
//! }
//! impl Check for AdamW {}
//!
//! struct Optimizer { name: &'static str, about: &'static str, keys: Option<OwnKeys> }
//! static OPTIMIZERS: Registry<Optimizer> = Registry::new("optimiser", &[
//!     Optimizer { name: "sgd", about: "plain gradient descent", keys: None },
//!     Optimizer {
//!         name: "adamw",
//!         about: "Adam with decoupled decay",
//!         keys: Some(OwnKeys::of::<AdamW>()),
//!     },
//! ]);
//! registered!(Optimizer, OPTIMIZERS, keys);
//!
//! section! {
//!     /// How the model is trained.
//!     pub struct Train {
//!         /// How gradients change weights.
//!         optimizer: Choice<Optimizer> = "adamw".into(),
//!     }
//! }
//! impl Check for Train {}
//!
//! let recipe = Recipe::parse("my.toml", "train.adamw.beta1 = 0.8", &[]).unwrap();
//! let train: Train = recipe.section("train").unwrap();
//! assert_eq!(train.optimizer.own::<AdamW>().beta1, 0.8);
//! let recipe = Recipe::parse("my.toml", "train.optimizer = 'adam'", &[]).unwrap();
//! let error = recipe.section::<Train>("train").unwrap_err().to_string();
//! assert!(error.contains("did you mean \"adamw\"?"), "{error}");
//! ```

use std::{fmt, marker::PhantomData, slice};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    Error, Result,
    recipe::{Key, KeyType, Node, Problem, Section, Shape, json, nearest, section_key},
};

/// One thing that can be named.
pub trait Entry {
    /// Its name in recipes and on the command line.
    fn name(&self) -> &'static str;

    /// What it is, in a few words without a full stop.
    fn about(&self) -> &'static str;

    /// Its own keys, which stand in a table of its name beside the key that chooses it.
    fn keys(&self) -> Option<OwnKeys> {
        None
    }
}

impl<T: Entry + ?Sized> Entry for &'static T {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn about(&self) -> &'static str {
        (**self).about()
    }

    fn keys(&self) -> Option<OwnKeys> {
        (**self).keys()
    }
}

/// Makes a type with the fields `name` and `about` an entry of a registry; with `keys`, also its field `keys`
/// ([`OwnKeys`], or none) those of the entry.
#[macro_export]
macro_rules! registered {
    ($type:ty, $registry:expr $(, $keys:ident)?) => {
        impl $crate::Entry for $type {
            fn name(&self) -> &'static str {
                self.name
            }

            fn about(&self) -> &'static str {
                self.about
            }

            $(fn keys(&self) -> Option<$crate::OwnKeys> {
                self.$keys.into()
            })?
        }

        impl $crate::Registered for $type {
            fn registry() -> &'static $crate::Registry<Self> {
                &$registry
            }
        }
    };
}

/// All entries of one kind, in the order in which help lists them.
#[derive(Debug)]
pub struct Registry<T: 'static> {
    what: &'static str,
    entries: &'static [T],
}

/// An entry whose type says in which registry it is; what a [`Choice`] needs.
pub trait Registered: Entry + Sized + 'static {
    /// The registry.
    fn registry() -> &'static Registry<Self>;
}

impl<T: Entry> Registry<T> {
    /// `what` is the kind's name in the singular: "task".
    pub const fn new(what: &'static str, entries: &'static [T]) -> Self {
        Self { what, entries }
    }

    /// The entry of this name.
    ///
    /// # Errors
    /// Input: names the nearest entry and lists all.
    pub fn find(&self, name: &str) -> Result<&'static T> {
        self.entries.iter().find(|e| e.name() == name).ok_or_else(|| {
            let near = nearest(name, self.names());
            let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            Error::input(format_args!("no {} `{name}`{near}", self.what))
                .hint(format_args!("known: {}", self.help()))
        })
    }

    /// All entries.
    pub fn iter(&self) -> slice::Iter<'static, T> {
        self.entries.iter()
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + Clone + use<T> {
        self.entries.iter().map(Entry::name)
    }

    /// All names with what they are: `adamw (Adam with decoupled decay), sgd (…)`.
    pub fn help(&self) -> String {
        let all = self.iter().map(|e| format!("{} ({})", e.name(), e.about()));
        all.collect::<Vec<_>>().join(", ")
    }

    /// A line for each entry, for the help of a command.
    pub fn lines(&self) -> String {
        let width = self.names().map(str::len).max().unwrap_or(0);
        self.iter().map(|e| format!("  {:width$}  {}\n", e.name(), e.about())).collect()
    }
}

impl<T: Entry> IntoIterator for &Registry<T> {
    type Item = &'static T;
    type IntoIter = slice::Iter<'static, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// An entry's own keys: a [`Section`] whose type only the entry knows.
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

/// A key that names an entry of a registry, and the entries' own keys: beside `optimizer = "adamw"` stands a
/// table `[train.adamw]` for each entry that has keys.
pub struct Choice<T> {
    name: String,
    /// The own keys of each entry that has some, all of them, by the entry's name.
    own: Map<String, Value>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Choice<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), own: self.own.clone(), of: PhantomData }
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
        let own = tables::<T>().map(|(entry, keys)| {
            (entry.name().to_owned(), (keys.key)(entry.name(), entry.about()).default)
        });
        Self { name: name.to_owned(), own: own.collect(), of: PhantomData }
    }
}

/// The entries that have keys, with these.
fn tables<T: Registered>() -> impl Iterator<Item = (&'static T, OwnKeys)> {
    T::registry().iter().filter_map(|entry| Some((entry, entry.keys()?)))
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
        typed(self.own.get(name).unwrap_or(&Value::Null))
    }

    /// The same choice with other keys for the entry `name`.
    #[must_use]
    pub fn with_own<S: Section>(mut self, name: &str, keys: &S) -> Self {
        self.own.insert(name.to_owned(), json(keys));
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
        tables::<T>().try_for_each(|(entry, keys)| {
            let own = self.own.get(entry.name()).unwrap_or(&Value::Null);
            (keys.check)(own).map_err(|p| p.within(entry.name()))
        })
    }

    fn field_keys(&self, name: &str, doc: &[&str], watch: bool) -> Vec<Key> {
        let mut all = vec![Key::new(name, doc, watch, Self::shape(), json(self))];
        all.extend(tables::<T>().map(|(entry, keys)| {
            let doc = format!("Keys of {}: {}.", entry.name(), entry.about());
            let mut key = (keys.key)(entry.name(), &doc);
            key.set_default(self.own.get(entry.name()).unwrap_or(&Value::Null));
            key.watch = watch;
            key
        }));
        all
    }

    fn read_field(&mut self, field: &str, key: &str, node: &Node, name: &str) -> Result<bool> {
        if field == key {
            *self = Self::read(node, name, self.clone())?;
            return Ok(true);
        }
        let Some((_, keys)) = tables::<T>().find(|(entry, _)| entry.name() == key) else {
            return Ok(false);
        };
        let now = self.own.get(key).unwrap_or(&Value::Null);
        let read = (keys.read)(node, name, now)?;
        self.own.insert(key.to_owned(), read);
        Ok(true)
    }

    fn check_field(&self, field: &str) -> std::result::Result<(), Problem> {
        self.check_nested().map_err(|p| if p.key().is_empty() { p.within(field) } else { p })
    }

    fn write_field(&self, field: &str, map: &mut Map<String, Value>) {
        map.insert(field.to_owned(), json(self));
        map.extend(self.own.clone());
    }

    fn take_field(&mut self, field: &str, map: &mut Map<String, Value>) -> serde_json::Result<()> {
        if let Some(value) = map.shift_remove(field) {
            self.name = String::deserialize(value)?;
        }
        for (entry, keys) in tables::<T>() {
            if let Some(value) = map.shift_remove(entry.name()) {
                self.own.insert(entry.name().to_owned(), (keys.parse)(value)?);
            }
        }
        Ok(())
    }
}
