//! The types that a key may have, and how each is read.

use std::path::PathBuf;

use super::{
    key::Shape,
    tree::{Item, Node},
};
use crate::{Error, Result};

/// A type that a key of a [`section!`](crate::section) may have: bool, u64, usize, f64, String,
/// PathBuf, a section, and `Option` and `Vec` of these.
pub trait KeyType: Sized {
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
}

/// `pretrain.train.steps` → `` `steps` in [pretrain.train] ``.
fn spoken(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((section, key)) => format!("`{key}` in [{section}]"),
        None => format!("`{name}`"),
    }
}

fn mismatch(node: &Node, name: &str, expected: &Shape) -> Error {
    Error::input(format_args!("{}: found {}, expected {expected}", spoken(name), node.found()))
        .at(&node.place)
}

macro_rules! scalar {
    ($type:ty, $shape:ident, $node:ident => $value:expr) => {
        impl KeyType for $type {
            fn shape() -> Shape {
                Shape::$shape
            }

            fn read($node: &Node, name: &str, _: Self) -> Result<Self> {
                $value.ok_or_else(|| mismatch($node, name, &Shape::$shape))
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
scalar!(String, Text, node => text(node).map(str::to_owned));
scalar!(PathBuf, Path, node => text(node).map(PathBuf::from));

fn whole<T: TryFrom<i64>>(node: &Node) -> Option<T> {
    match node.item {
        Item::Integer(i) => T::try_from(i).ok(),
        _ => None,
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.item {
        Item::Text(s) => Some(s),
        // `--set name=12`: the shell would have taken quotes away.
        _ => node.typed.as_deref(),
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
}

impl<T: KeyType> KeyType for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn read(node: &Node, name: &str, _: Self) -> Result<Self> {
        match &node.item {
            Item::List(list) => list.iter().map(|n| T::read(n, name, T::blank())).collect(),
            _ => Err(mismatch(node, name, &Self::shape())),
        }
    }

    fn blank() -> Self {
        Vec::new()
    }
}
