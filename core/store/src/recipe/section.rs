//! Sections: the `section!` macro, their checks, and what enters a fingerprint.

use serde::de::Error as _;
use serde_json::{Map, Value};

use super::{
    Key, KeyType, Shape, nearest,
    problem::Problem,
    tree::{Item, Node},
};
use crate::{Error, Result};

/// A section of a recipe; made by [`section!`](crate::section).
pub trait Section: Check + KeyType + Default {
    /// Its keys, in their order, with docs and defaults.
    fn keys() -> Vec<Key>;

    /// All keys as JSON; made by the macro.
    #[doc(hidden)]
    fn to_map(&self) -> Map<String, Value>;

    /// Takes the keys that are in a map out of it; made by the macro.
    ///
    /// # Errors
    /// serde's, for a value of another type.
    #[doc(hidden)]
    fn take(&mut self, map: &mut Map<String, Value>) -> serde_json::Result<()>;

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

/// Reads a section over `default` and checks it.
pub(super) fn read<S: Section>(node: &Node, name: &str, default: S) -> Result<S> {
    let section = read_unchecked(node, name, default)?;
    section.check_all().map_err(|p| Error::input(p.in_section(name)).at(p.place(node)))?;
    Ok(section)
}

/// What `KeyType::read` of a section does: the check comes last, once, for the outermost section,
/// so that a problem is reported with the full name of its key.
#[doc(hidden)]
pub fn read_unchecked<S: Section>(node: &Node, name: &str, mut section: S) -> Result<S> {
    let keys = S::keys();
    // `optimizer = "muon"` is short for `optimizer.name = "muon"`.
    if let (Some(first), Some(_)) = (keys.first(), node.as_text())
        && matches!(first.shape, Shape::Choice(_))
    {
        let key = first.name.clone();
        section.read_key(&key, node, &format!("{name}.{key}"))?;
        return Ok(section);
    }
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
            // Reading the section reports a value of the wrong type.
            _ => {}
        }
    }
    Ok(())
}

/// The entries of a table, or the error that it is none.
pub(crate) fn entries<'a>(node: &'a Node, name: &str) -> Result<&'a [(String, Node)]> {
    match &node.item {
        Item::Table(entries) => Ok(entries),
        _ => Err(Error::input(format_args!("[{name}]: found {}, expected a table", node.found()))
            .at(&node.place)),
    }
}

/// The error of a key that is none of a section's.
pub(crate) fn unknown(node: &Node, key: &str, section: &str, keys: &[Key]) -> Error {
    let near = nearest(key, keys.iter().map(|k| k.name.as_str()));
    let near = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
    let list: Vec<_> = keys.iter().map(|k| k.name.as_str()).collect();
    Error::input(format_args!("unknown key `{key}` in [{section}]{near}"))
        .at(&node.place)
        .hint(format_args!("its keys are {}", list.join(", ")))
}

/// What serde reads a section with: keys that are not there have their defaults.
#[doc(hidden)]
pub fn from_map<S: Section>(mut map: Map<String, Value>) -> serde_json::Result<S> {
    let mut section = S::default();
    section.take(&mut map)?;
    match map.keys().next() {
        None => Ok(section),
        Some(key) => Err(serde_json::Error::custom(format_args!("unknown key `{key}`"))),
    }
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
        #[derive(Clone, Debug, PartialEq)]
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
                let mut keys = ::std::vec::Vec::new();
                $( keys.extend($crate::recipe::KeyType::field_keys(
                    &default.$key,
                    ::std::stringify!($key),
                    &[$($doc),+],
                    $crate::section!(@watch $([$watch])?),
                )); )+
                keys
            }

            fn to_map(&self) -> $crate::recipe::JsonMap {
                let mut map = $crate::recipe::JsonMap::new();
                $( $crate::recipe::KeyType::write_field(
                    &self.$key,
                    ::std::stringify!($key),
                    &mut map,
                ); )+
                map
            }

            fn take(&mut self, map: &mut $crate::recipe::JsonMap) -> $crate::recipe::JsonResult<()> {
                $( $crate::recipe::KeyType::take_field(
                    &mut self.$key,
                    ::std::stringify!($key),
                    map,
                )?; )+
                ::std::result::Result::Ok(())
            }

            fn read_key(
                &mut self,
                key: &str,
                node: &$crate::recipe::Node,
                name: &str,
            ) -> $crate::Result<()> {
                $( if $crate::recipe::KeyType::read_field(
                    &mut self.$key,
                    ::std::stringify!($key),
                    key,
                    node,
                    name,
                )? {
                    return ::std::result::Result::Ok(());
                } )+
                ::std::result::Result::Ok(())
            }

            fn check_all(&self) -> ::std::result::Result<(), $crate::recipe::Problem> {
                $( $crate::recipe::KeyType::check_field(&self.$key, ::std::stringify!($key))?; )+
                $crate::recipe::Check::check(self)
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

            fn check_nested(&self) -> ::std::result::Result<(), $crate::recipe::Problem> {
                $crate::recipe::Section::check_all(self)
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                $crate::serde::Serialize::serialize(
                    &$crate::recipe::Section::to_map(self),
                    serializer,
                )
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let map = <$crate::recipe::JsonMap as $crate::serde::Deserialize>::deserialize(
                    deserializer,
                )?;
                $crate::recipe::from_map(map).map_err($crate::serde::de::Error::custom)
            }
        }
    };
    (@watch) => { false };
    (@watch [$nothing:vis]) => { true };
}
