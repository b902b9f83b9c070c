//! Sections: the `section!` macro, their checks, and what enters a fingerprint.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Key, KeyType, Shape, nearest,
    tree::{Item, Node},
};
use crate::{Error, Result};

/// A section of a recipe; made by [`section!`](crate::section).
pub trait Section: Check + KeyType + Default + Clone + Serialize + DeserializeOwned {
    /// Its keys, in their order, with docs and defaults.
    fn keys() -> Vec<Key>;

    /// Sets one key from a node; made by the macro.
    ///
    /// # Errors
    /// Those of [`KeyType::read`].
    #[doc(hidden)]
    fn read_key(&mut self, key: &str, node: &Node, name: &str) -> Result<()>;

    /// Its own check, then those of nested sections (made by the macro).
    ///
    /// # Errors
    /// The first problem, its key relative to this section.
    fn check_all(&self) -> std::result::Result<(), Problem>;
}

/// A section's check of its values, written by hand; every section has one, if only an empty one
/// (`impl Check for X {}`).
pub trait Check {
    /// Checks values and how they fit together.
    ///
    /// # Errors
    /// The first [`Problem`].
    fn check(&self) -> std::result::Result<(), Problem> {
        Ok(())
    }
}

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

    /// A problem with a section as a whole.
    pub fn of_section(what: impl Into<String>) -> Self {
        Self::new("", what)
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

/// Reads a section over `default` and checks it.
pub(super) fn read<S: Section>(node: &Node, name: &str, default: S) -> Result<S> {
    let section = read_unchecked(node, name, default)?;
    section.check_all().map_err(|p| Error::input(p.in_section(name)).at(p.place(node)))?;
    Ok(section)
}

/// What `KeyType::read` of a section does: the check comes last, once, for the outermost section,
/// so that a problem is told with the whole name of its key.
#[doc(hidden)]
pub fn read_unchecked<S: Section>(node: &Node, name: &str, mut section: S) -> Result<S> {
    let keys = S::keys();
    for (key, value) in entries(node, name)? {
        if !keys.iter().any(|k| k.name == *key) {
            return Err(unknown(value, key, name, &keys));
        }
        section.read_key(key, value, &format!("{name}.{key}"))?;
    }
    Ok(section)
}

/// Refuses unknown keys below `node`.
pub(super) fn check_keys(node: &Node, name: &str, keys: &[Key]) -> Result<()> {
    for (key, value) in entries(node, name)? {
        let Some(known) = keys.iter().find(|k| k.name == *key) else {
            return Err(unknown(value, key, name, keys));
        };
        let name = format!("{name}.{key}");
        match (&known.shape, &value.item) {
            (shape, Item::List(list)) if shape.is_tables() => {
                list.iter().try_for_each(|n| check_keys(n, &name, known.keys()))?;
            }
            (shape, Item::Table(_)) if !shape.keys().is_empty() && !shape.is_tables() => {
                check_keys(value, &name, known.keys())?;
            }
            // A value of the wrong type is told when the section is read.
            _ => {}
        }
    }
    Ok(())
}

fn entries<'a>(node: &'a Node, name: &str) -> Result<&'a [(String, Node)]> {
    match &node.item {
        Item::Table(entries) => Ok(entries),
        _ => Err(Error::input(format_args!("[{name}]: found {}, expected a table", node.found()))
            .at(&node.place)),
    }
}

fn unknown(node: &Node, key: &str, section: &str, keys: &[Key]) -> Error {
    let near = nearest(key, keys.iter().map(|k| k.name.as_str()));
    let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
    let list: Vec<_> = keys.iter().map(|k| k.name.as_str()).collect();
    Error::input(format_args!("unknown key `{key}` in [{section}]{near}"))
        .at(&node.place)
        .hint(format_args!("its keys are {}", list.join(", ")))
}

/// A section as one key, for [`describe`](super::describe).
pub fn section_key<S: Section>(name: &str, doc: &str) -> Key {
    let default = serde_json::to_value(S::default()).unwrap_or_default();
    Key::new(name, &[doc], false, Shape::Section(S::keys()), default)
}

/// A section's values without those that are only about watching: what decides the result.
pub fn fingerprint_value<S: Section>(section: &S) -> Value {
    let mut value = serde_json::to_value(section).unwrap_or_default();
    drop_watch(&mut value, &S::keys());
    value
}

/// Adds to a fingerprint's value the keys that the section has and the value lacks, at their defaults:
/// a run does not become another one because Athanor has learnt a new key.
pub(crate) fn complete_fingerprint<S: Section>(value: &mut Value) {
    complete(value, section_key::<S>("", "").keys());
}

fn complete(value: &mut Value, keys: &[Key]) {
    match value {
        Value::Object(map) => {
            for key in keys.iter().filter(|k| !k.watch) {
                match map.get_mut(&key.name) {
                    Some(inner) => complete(inner, key.keys()),
                    None => {
                        let mut value = key.default.clone();
                        drop_watch(&mut value, key.keys());
                        map.insert(key.name.clone(), value);
                    }
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| complete(v, keys)),
        _ => {}
    }
}

fn drop_watch(value: &mut Value, keys: &[Key]) {
    match value {
        Value::Object(map) => {
            for key in keys {
                if key.watch {
                    map.shift_remove(&key.name);
                } else if let Some(inner) = map.get_mut(&key.name) {
                    drop_watch(inner, key.keys());
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| drop_watch(v, keys)),
        _ => {}
    }
}

/// Nested sections' checks, by type; `KeyType`s that are no sections have none.
#[doc(hidden)]
pub trait CheckNested {
    /// Checks the sections inside.
    ///
    /// # Errors
    /// The first problem, its key relative to this value.
    fn check_nested(&self) -> std::result::Result<(), Problem> {
        Ok(())
    }
}

impl CheckNested for bool {}
impl CheckNested for u64 {}
impl CheckNested for usize {}
impl CheckNested for f64 {}
impl CheckNested for String {}
impl CheckNested for std::path::PathBuf {}

impl<T: CheckNested> CheckNested for Option<T> {
    fn check_nested(&self) -> std::result::Result<(), Problem> {
        self.as_ref().map_or(Ok(()), T::check_nested)
    }
}

impl<T: CheckNested> CheckNested for Vec<T> {
    fn check_nested(&self) -> std::result::Result<(), Problem> {
        let mut each = self.iter().enumerate();
        each.try_for_each(|(i, v)| v.check_nested().map_err(|p| p.within(&i.to_string())))
    }
}

/// Declares a section of a recipe: a struct with public fields, `Default`, serde, and its keys with
/// docs and defaults. The section also needs `impl Check for Name { … }`.
///
/// A key that is only about watching the work (logging, checkpoint cadence, threads) is marked
/// `#[watch]`, behind its doc; see [`fingerprint_value`](crate::fingerprint_value). See
/// [`recipe`](crate::recipe) for an example.
#[macro_export]
macro_rules! section {
    // `$watch:vis` matches the nothing behind `#[watch]`: a name for whether `#[watch]` is there.
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $name:ident {
            $( $(#[doc = $doc:literal])+ $(#[watch] $watch:vis)? $key:ident : $type:ty = $default:expr ),+
            $(,)?
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, $crate::serde::Serialize, $crate::serde::Deserialize)]
        #[serde(crate = "athanor_store::serde", default, deny_unknown_fields)]
        $vis struct $name {
            $( $(#[doc = $doc])+ pub $key: $type, )+
        }

        impl ::std::default::Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }

        impl $crate::recipe::Section for $name {
            fn keys() -> ::std::vec::Vec<$crate::recipe::Key> {
                let default = <Self as ::std::default::Default>::default();
                ::std::vec![ $( $crate::recipe::Key::new(
                    ::std::stringify!($key),
                    &[$($doc),+],
                    $crate::section!(@watch $([$watch])?),
                    <$type as $crate::recipe::KeyType>::shape(),
                    $crate::recipe::json(&default.$key),
                ), )+ ]
            }

            fn read_key(
                &mut self,
                key: &str,
                node: &$crate::recipe::Node,
                name: &str,
            ) -> $crate::Result<()> {
                match key {
                    $( ::std::stringify!($key) => {
                        let default = ::std::clone::Clone::clone(&self.$key);
                        self.$key = <$type as $crate::recipe::KeyType>::read(node, name, default)?;
                    } )+
                    _ => {}
                }
                ::std::result::Result::Ok(())
            }

            fn check_all(&self) -> ::std::result::Result<(), $crate::recipe::Problem> {
                $( $crate::recipe::CheckNested::check_nested(&self.$key)
                    .map_err(|p| p.within(::std::stringify!($key)))?; )+
                $crate::recipe::Check::check(self)
            }
        }

        impl $crate::recipe::CheckNested for $name {
            fn check_nested(&self) -> ::std::result::Result<(), $crate::recipe::Problem> {
                $crate::recipe::Section::check_all(self)
            }
        }

        impl $crate::recipe::KeyType for $name {
            fn shape() -> $crate::recipe::Shape {
                $crate::recipe::Shape::Section(<Self as $crate::recipe::Section>::keys())
            }

            fn read(
                node: &$crate::recipe::Node,
                name: &str,
                default: Self,
            ) -> $crate::Result<Self> {
                $crate::recipe::read_unchecked(node, name, default)
            }

            fn blank() -> Self {
                <Self as ::std::default::Default>::default()
            }
        }
    };
    (@watch) => { false };
    (@watch [$nothing:vis]) => { true };
}
