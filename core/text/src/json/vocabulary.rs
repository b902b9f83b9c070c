//! Vocabularies and merges as JSON has them: counted first, then read, one token at a time.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Deserializer as Json, Result};

/// Texts of a list or a map.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lengths {
    /// How many.
    pub count: usize,
    /// All their bytes.
    pub bytes: usize,
    /// Those of the longest.
    pub longest: usize,
    /// The largest id of a map.
    pub largest_id: u64,
}

impl Lengths {
    fn add(&mut self, text: &str) {
        self.count += 1;
        self.bytes += text.len();
        self.longest = self.longest.max(text.len());
    }
}

/// Calls back with a string, without making one of it.
struct Text<F>(F);

impl<'de, F: FnMut(&str)> DeserializeSeed<'de> for Text<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
        d.deserialize_str(self)
    }
}

impl<F: FnMut(&str)> Visitor<'_> for Text<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(mut self, text: &str) -> std::result::Result<(), E> {
        (self.0)(text);
        Ok(())
    }
}

/// `{"token": id, …}`, an entry at a time.
struct Entries<F>(F);

impl<'de, F: FnMut(&str, u64)> Visitor<'de> for Entries<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tokens and their ids")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> std::result::Result<(), M::Error> {
        let mut token = String::new();
        while let Some(()) = map.next_key_seed(Text(|t: &str| {
            token.clear();
            token.push_str(t);
        }))? {
            (self.0)(&token, map.next_value()?);
        }
        Ok(())
    }
}

/// A map's tokens and ids.
pub(crate) fn entries(json: &str, each: impl FnMut(&str, u64)) -> Result<()> {
    let mut d = Json::from_str(json);
    d.deserialize_map(Entries(each))?;
    d.end()
}

/// [`entries`], counted.
pub(super) fn map_lengths(json: &str) -> Result<Lengths> {
    let mut lengths = Lengths::default();
    entries(json, |token, id| {
        lengths.add(token);
        lengths.largest_id = lengths.largest_id.max(id);
    })?;
    Ok(lengths)
}

/// What reads a list's elements, one at a time.
trait Element {
    /// What a list of them is.
    const LIST: &'static str;

    /// Reads the next; whether there was one.
    fn next<'de, S: SeqAccess<'de>>(&mut self, list: &mut S)
    -> std::result::Result<bool, S::Error>;
}

/// A list, an element at a time.
struct List<T>(T);

impl<'de, T: Element> Visitor<'de> for List<T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::LIST)
    }

    fn visit_seq<S: SeqAccess<'de>>(mut self, mut list: S) -> std::result::Result<(), S::Error> {
        while self.0.next(&mut list)? {}
        Ok(())
    }
}

fn list(json: &str, element: impl Element) -> Result<()> {
    let mut d = Json::from_str(json);
    d.deserialize_seq(List(element))?;
    d.end()
}

/// `["piece", score]`.
struct Piece<F>(F);

impl<F: FnMut(&str, f64)> Element for Piece<F> {
    const LIST: &'static str = "a list of [piece, score]";

    fn next<'de, S: SeqAccess<'de>>(
        &mut self,
        list: &mut S,
    ) -> std::result::Result<bool, S::Error> {
        let next = list.next_element::<(Held, f64)>()?;
        Ok(next.map(|(piece, score)| (self.0)(&piece.0, score)).is_some())
    }
}

/// A string of a pair; each is dropped before the next is made.
#[derive(serde::Deserialize)]
struct Held(String);

/// A list's pieces and scores.
pub(super) fn pieces(json: &str, each: impl FnMut(&str, f64)) -> Result<()> {
    list(json, Piece(each))
}

/// `["a", "b"]` or, older, `"a b"`.
struct Pair<F>(F);

impl<F: FnMut(&str, &str)> Element for Pair<F> {
    const LIST: &'static str = "a list of pairs of tokens";

    fn next<'de, S: SeqAccess<'de>>(
        &mut self,
        list: &mut S,
    ) -> std::result::Result<bool, S::Error> {
        Ok(list.next_element_seed(Merge(&mut self.0))?.is_some())
    }
}

struct Merge<'a, F>(&'a mut F);

impl<'de, F: FnMut(&str, &str)> DeserializeSeed<'de> for Merge<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str, &str)> Visitor<'de> for Merge<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pair of tokens, [\"a\", \"b\"] or \"a b\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<(), E> {
        if text.starts_with("#version") {
            return Ok(());
        }
        let mut parts = text.split(' ');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(a), Some(b), None) => (self.0)(a, b),
            _ => {
                let found: String = text.chars().take(40).collect();
                return Err(E::custom(format_args!("the merge {found:?} is no two tokens")));
            }
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> std::result::Result<(), S::Error> {
        let short = || S::Error::custom("a merge of less than two tokens");
        let Held(a) = list.next_element()?.ok_or_else(short)?;
        let Held(b) = list.next_element()?.ok_or_else(short)?;
        if list.next_element::<IgnoredAny>()?.is_some() {
            return Err(S::Error::custom("a merge of more than two tokens"));
        }
        (self.0)(&a, &b);
        Ok(())
    }
}

/// A list's merges.
pub(super) fn merges(json: &str, each: impl FnMut(&str, &str)) -> Result<()> {
    list(json, Pair(each))
}

/// The `content`s of a list of objects, counted.
pub(super) fn contents(json: &str) -> Result<Lengths> {
    struct Content<'a>(&'a mut Lengths);
    struct Object<'a>(&'a mut Lengths);
    impl Element for Content<'_> {
        const LIST: &'static str = "a list of tokens";
        fn next<'de, S: SeqAccess<'de>>(
            &mut self,
            list: &mut S,
        ) -> std::result::Result<bool, S::Error> {
            Ok(list.next_element_seed(Object(self.0))?.is_some())
        }
    }
    impl<'de> DeserializeSeed<'de> for Object<'_> {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
            d.deserialize_map(self)
        }
    }
    impl<'de> Visitor<'de> for Object<'_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a token as an object")
        }
        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<(), M::Error> {
            let mut content = false;
            while let Some(()) = map.next_key_seed(Text(|key: &str| content = key == "content"))? {
                if std::mem::take(&mut content) {
                    map.next_value_seed(Text(|text: &str| self.0.add(text)))?;
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(())
        }
    }
    let mut lengths = Lengths::default();
    list(json, Content(&mut lengths))?;
    Ok(lengths)
}
