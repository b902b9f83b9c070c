//! A recipe's text as a tree in which each value knows where it was given.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{Error, Result};

/// A value and where it was given.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub(crate) item: Item,
    /// `FILE:LINE`, or the `--set` that gave it.
    pub(crate) place: String,
    /// A `--set`'s value as it was typed: `--set name=12` may mean a text.
    pub(crate) typed: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// TOML's dates; no key holds one.
    Date(String),
    List(Vec<Node>),
    /// In the file's order.
    Table(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.item {
            Item::Table(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, n)| n),
            _ => None,
        }
    }

    /// What was found, as errors say it.
    pub(crate) fn found(&self) -> String {
        match &self.item {
            Item::Bool(b) => b.to_string(),
            Item::Integer(i) => i.to_string(),
            Item::Float(x) => format!("{x:?}"),
            Item::Text(s) => format!("the text {s:?}"),
            Item::Date(s) => format!("the date {s}"),
            Item::List(_) => "a list".into(),
            Item::Table(_) => "a table".into(),
        }
    }
}

/// Parses a recipe's text.
pub(crate) fn parse(name: &str, text: &str) -> Result<Node> {
    let starts: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
    let lines = Lines { name, starts };
    let table = DeTable::parse(text).map_err(|e| {
        let line = lines.at(e.span().map_or(0, |s| s.start));
        Error::input(format_args!("not TOML: {}", e.message())).at(line)
    })?;
    lines.table(table.get_ref(), format!("{name}:1"))
}

/// Where lines start in a file.
struct Lines<'a> {
    name: &'a str,
    starts: Vec<usize>,
}

impl Lines<'_> {
    fn at(&self, byte: usize) -> String {
        format!("{}:{}", self.name, self.starts.partition_point(|s| *s <= byte))
    }

    fn table(&self, table: &DeTable<'_>, place: String) -> Result<Node> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries.into_iter().map(|(key, value)| {
            let node = self.node(value, self.at(key.span().start))?;
            Ok((key.get_ref().to_string(), node))
        });
        Ok(Node { item: Item::Table(entries.collect::<Result<_>>()?), place, typed: None })
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, place: String) -> Result<Node> {
        let item = match value.get_ref() {
            DeValue::Boolean(b) => Item::Bool(*b),
            DeValue::Integer(i) => {
                let parsed = i64::from_str_radix(i.as_str(), i.radix());
                Item::Integer(parsed.map_err(|_| {
                    Error::input(format_args!("the integer {i} does not fit 64 bits")).at(&place)
                })?)
            }
            DeValue::Float(x) => Item::Float(x.as_str().parse().map_err(|_| {
                Error::input(format_args!("{x} is no number that we can hold")).at(&place)
            })?),
            DeValue::String(s) => Item::Text(s.to_string()),
            DeValue::Datetime(d) => Item::Date(d.to_string()),
            DeValue::Array(list) => {
                let nodes = list.iter().map(|v| self.node(v, self.at(v.span().start)));
                Item::List(nodes.collect::<Result<_>>()?)
            }
            DeValue::Table(table) => return self.table(table, place),
        };
        Ok(Node { item, place, typed: None })
    }
}

/// No recipe is as deep; trees are walked by recursion.
const DEEPEST: usize = 32;

/// Applies one `a.b.c=value`. The value is TOML (`12`, `true`, `[1, 2]`, `"text"`), else a text.
/// A part that is a number goes into a list: `corpus.sources.0.path=…`.
pub(crate) fn set(root: &mut Node, set: &str) -> Result<()> {
    let place = format!("--set {set}");
    let bad = |what: String| Error::input(what).at(&place);
    let Some((path, typed)) = set.split_once('=') else {
        return Err(bad("`=` is missing".into()).hint("write it as --set section.key=value"));
    };
    let typed = typed.trim();
    let mut value = match DeValue::parse(typed) {
        Ok(value) => Lines { name: "", starts: vec![0] }.node(&value, place.clone())?,
        Err(_) => Node { item: Item::Text(typed.into()), place: place.clone(), typed: None },
    };
    value.placed(&place);
    if !matches!(value.item, Item::Text(_)) {
        value.typed = Some(typed.to_owned());
    }
    if path.split('.').count() > DEEPEST {
        return Err(bad(format!("a key of more than {DEEPEST} parts")));
    }
    let mut at = root;
    let mut so_far = String::new();
    for part in path.split('.').map(str::trim) {
        if part.is_empty() {
            return Err(bad("a part of the key is empty".into())
                .hint("write it as --set section.key=value"));
        }
        let found = at.found();
        at = match &mut at.item {
            Item::Table(entries) => {
                let index = match entries.iter().position(|(name, _)| name == part) {
                    Some(index) => index,
                    None => {
                        let item = Item::Table(Vec::new());
                        entries
                            .push((part.into(), Node { item, place: place.clone(), typed: None }));
                        entries.len() - 1
                    }
                };
                &mut entries[index].1
            }
            Item::List(list) => {
                let n = list.len();
                part.parse().ok().and_then(|i: usize| list.get_mut(i)).ok_or_else(|| {
                    bad(format!("`{so_far}` is a list of {n}: 0 to its last, not `{part}`"))
                })?
            }
            _ => return Err(bad(format!("`{so_far}` holds {found}, not a table"))),
        };
        if !so_far.is_empty() {
            so_far.push('.');
        }
        so_far.push_str(part);
    }
    *at = value;
    Ok(())
}

impl Node {
    fn placed(&mut self, place: &str) {
        self.place = place.to_owned();
        match &mut self.item {
            Item::List(list) => list.iter_mut().for_each(|n| n.placed(place)),
            Item::Table(entries) => entries.iter_mut().for_each(|(_, n)| n.placed(place)),
            _ => {}
        }
    }
}
