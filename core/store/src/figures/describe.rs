//! What a JSON object of a run holds: fields declared once, as a struct for serde and as rows for docs/contracts.md.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::Unit;

/// summary.json of a stage.
pub trait Summary: Shape + Default + Serialize + DeserializeOwned {
    /// The stage's name.
    const STAGE: &'static str;
}

/// The type of a field.
pub trait Shape {
    /// The type in a word or two.
    const WORDS: &'static str;
    /// What is behind the field's name in the path of an inner field.
    const MARK: &'static str = ".";
    /// The fields inside, if it is an object or a list of objects.
    fn fields() -> Vec<Field> {
        Vec::new()
    }
}

/// A field of an object.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in JSON; empty for fields under names of their own.
    pub name: &'static str,
    /// Its type in a word or two.
    pub words: &'static str,
    /// What is between its name and an inner field's.
    pub mark: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// What it says: its doc comment.
    pub about: String,
    /// Whether it may be absent.
    pub optional: bool,
    /// The fields inside.
    pub inner: Vec<Field>,
}

impl Field {
    /// A field of type `T`; `serde` is the text of its serde attribute.
    pub fn of<T: Shape>(name: &'static str, unit: Unit, about: &[&str], serde: &str) -> Self {
        Self {
            name: if serde == "flatten" { "" } else { name },
            words: T::WORDS,
            mark: T::MARK,
            unit,
            about: about.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
            optional: serde.contains("skip_serializing_if"),
            inner: T::fields(),
        }
    }
}

/// Declares JSON objects: each field is a doc comment, perhaps a serde attribute, `name: Type, "unit";`. Makes the struct
/// with serde's traits, all fields with defaults, and the rows of its table.
macro_rules! objects {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $(of $stage:literal)? {
            $(
                $(#[doc = $about:literal])+
                $(#[serde($($serde:tt)+)])?
                $field:ident: $type:ty, $unit:expr;
            )+
        }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[doc = $about])+
                $(#[serde($($serde)+)])?
                pub $field: $type,
            )+
        }

        impl $crate::figures::Shape for $name {
            const WORDS: &'static str = "object";

            fn fields() -> Vec<$crate::figures::Field> {
                vec![$($crate::figures::Field::of::<$type>(
                    stringify!($field),
                    $unit.into(),
                    &[$($about),+],
                    concat!($(stringify!($($serde)+))?),
                )),+]
            }
        }

        $(impl $crate::figures::Summary for $name {
            const STAGE: &'static str = $stage;
        })?
    )+};
}
pub(super) use objects;

macro_rules! shapes {
    ($($type:ty = $words:literal),+ $(,)?) => {$(
        impl Shape for $type {
            const WORDS: &'static str = $words;
        }
    )+};
}

shapes! {
    f64 = "number",
    u64 = "integer",
    String = "text",
    Map<String, Value> = "object",
}

impl<T: Shape> Shape for Option<T> {
    const WORDS: &'static str = T::WORDS;
    const MARK: &'static str = T::MARK;

    fn fields() -> Vec<Field> {
        T::fields()
    }
}

impl<T: Shape> Shape for Vec<T> {
    const WORDS: &'static str = "list";
    const MARK: &'static str = "[].";

    fn fields() -> Vec<Field> {
        T::fields()
    }
}

/// A table of fields in Markdown, inner fields behind the outer one; `?` marks those that may be absent.
pub fn fields_table(fields: &[Field]) -> String {
    let mut out = "| field | type | unit | meaning |\n|---|---|---|---|\n".to_owned();
    rows("", fields, &mut out);
    out
}

fn rows(before: &str, fields: &[Field], out: &mut String) {
    for field in fields {
        let name = match field.name {
            // A struct that only groups fields of this object.
            "" if !field.inner.is_empty() => {
                rows(before, &field.inner, out);
                continue;
            }
            "" => format!("`{before}…`"),
            name => format!("`{before}{name}`{}", if field.optional { "?" } else { "" }),
        };
        let Field { words, about, .. } = field;
        *out += &format!("| {name} | {words} | {} | {about} |\n", field.unit.words());
        rows(&format!("{before}{}{}", field.name, field.mark), &field.inner, out);
    }
}
