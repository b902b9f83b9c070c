//! Labelled examples: which fields of a file's records are the text and the label, and which examples are
//! held out.

use std::path::{Path, PathBuf};

use athanor_store::{Check, Choice, Error, Problem, Recipe, Result, section};
use serde_json::Value;

use crate::{Expression, Record, Shares, Split, Template, formats, hash64};

section! {
    /// Where labelled examples come from.
    pub struct LabelledSection {
        /// A name for accounts; the file's name if not set.
        name: String = String::new(),
        /// The file, relative to the recipe.
        path: PathBuf = PathBuf::new(),
        /// A file of the same form with the held-out examples; then none of `path` is held out.
        heldout: Option<PathBuf> = None,
        /// The form of the files; by their names if not set.
        format: Option<Choice<formats::Format>> = None,
        /// Names of the columns of csv, tsv and conll where the file does not name them.
        columns: Vec<String> = Vec::new(),
        /// Expression over a record's fields; records for which it is false are left out.
        only: String = String::new(),
        /// The text: the name of a field, or a template over fields, as in "{{ title }}. {{ body }}".
        text: String = "text".into(),
        /// The second text of a pair, likewise; none if empty.
        pair: String = String::new(),
        /// The label, likewise. Where each word has one, the fields are `word` and `label`.
        label: String = "label".into(),
        /// Expression that gives the list of a sentence's words.
        words: String = "words".into(),
        /// Expression that gives the list of the words' labels.
        labels: String = "labels".into(),
        /// The text that decides whether a record is held out: a field's name or a template; the
        /// text (and its pair), or the words, if empty.
        identity: String = String::new(),
        /// Records at most, by order of the file; 0 takes all.
        limit: usize = 0,
    }
}

impl Check for LabelledSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(!self.path.as_os_str().is_empty(), "path", "is missing")?;
        for (key, source) in [
            ("text", &self.text),
            ("pair", &self.pair),
            ("label", &self.label),
            ("identity", &self.identity),
        ] {
            Field::new(source).map_err(|e| Problem::new(key, e.to_string()))?;
        }
        for (key, source) in
            [("only", &self.only), ("words", &self.words), ("labels", &self.labels)]
        {
            if !source.is_empty() {
                Expression::check(key, source)?;
            }
        }
        Ok(())
    }
}

/// A text from a record: a field, or a template over fields.
#[derive(Clone, Debug)]
pub enum Field {
    /// The field of this name: text, a number or a truth value.
    Name(String),
    /// A template.
    Template(Box<Template>),
}

impl Field {
    /// What has `{{` or `{%` in it is a template.
    ///
    /// # Errors
    /// Input, for a template that is wrong.
    pub fn new(source: &str) -> Result<Self> {
        match source.contains("{{") || source.contains("{%") {
            true => Template::new(source).map(|t| Self::Template(Box::new(t))),
            false => Ok(Self::Name(source.to_owned())),
        }
    }

    /// Whether it is the field `name` as it is.
    pub fn is(&self, name: &str) -> bool {
        matches!(self, Self::Name(own) if own == name)
    }

    /// The text of a record.
    ///
    /// # Errors
    /// Input, for a field that is missing or is no text.
    pub fn text(&self, record: &Record) -> Result<String> {
        match self {
            Self::Template(template) => template.render(record),
            Self::Name(name) => scalar(record.field(name)?).ok_or_else(|| {
                let found: String = record.0[name].to_string().chars().take(60).collect();
                Error::input(format!("field `{name}` should be a text, found {found}"))
            }),
        }
    }
}

/// Text, or a number or truth value as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A list of texts that an expression gives.
///
/// # Errors
/// Input, if it gives something else.
pub fn list(expression: &Expression, source: &str, record: &Record) -> Result<Vec<String>> {
    let value = expression.value(record)?;
    let wrong = || {
        let found: String = value.to_string().chars().take(60).collect();
        Error::input(format!("`{source}` should be a list of texts, found {found}"))
    };
    let all = value.as_array().ok_or_else(wrong)?;
    all.iter().map(|v| scalar(v).ok_or_else(wrong)).collect()
}

/// An example.
#[derive(Clone, Debug)]
pub struct Labelled<T> {
    /// What a task made of the record.
    pub item: T,
    /// What it is for.
    pub split: Split,
    /// `FILE:LINE`.
    pub place: String,
    /// By the text that decides what it is for: an order that no file's order shines through.
    pub hash: u64,
}

/// Makes an example of a record, with the text that decides what it is for.
pub type Reader<T> = Box<dyn Fn(&Record) -> Result<(T, String)>>;

impl LabelledSection {
    /// The source's name.
    pub fn title(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        self.path.file_name().map_or("data".into(), |n| n.to_string_lossy().into_owned())
    }

    /// Its files, with the names of their keys.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let heldout = self.heldout.as_deref().map(|path| ("heldout", path));
        std::iter::once(("path", self.path.as_path())).chain(heldout)
    }

    /// All examples, in the files' order.
    ///
    /// # Errors
    /// Input, naming file and line.
    pub fn read<T>(
        &self,
        recipe: &Recipe,
        shares: Shares,
        make: &Reader<T>,
    ) -> Result<Vec<Labelled<T>>> {
        let Some(heldout) = &self.heldout else {
            return self.file(&recipe.resolve(&self.path), |text| shares.split(text), make);
        };
        let shares = Shares { heldout: 0, ..shares };
        let mut all = self.file(&recipe.resolve(&self.path), |text| shares.split(text), make)?;
        all.extend(self.file(&recipe.resolve(heldout), |_| Split::Heldout, make)?);
        Ok(all)
    }

    /// The examples of one file.
    ///
    /// # Errors
    /// As [`read`](Self::read); also if there are none.
    pub fn file<T>(
        &self,
        path: &Path,
        split: impl Fn(&str) -> Split,
        make: &Reader<T>,
    ) -> Result<Vec<Labelled<T>>> {
        let only = (!self.only.is_empty()).then(|| Expression::new(&self.only)).transpose()?;
        let identity = (!self.identity.is_empty()).then(|| Field::new(&self.identity));
        let identity = identity.transpose()?;
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let mut all = Vec::new();
        let format = match &self.format {
            Some(format) => format.entry()?,
            None => formats::by_ending(path)?,
        };
        for row in (format.open)(path, &self.columns)? {
            if all.len() >= limit {
                break;
            }
            let (record, place) = row?;
            let at = |e: Error| e.at(&place);
            if let Some(only) = &only
                && !only.holds(&record).map_err(at)?
            {
                continue;
            }
            let (item, own) = make(&record).map_err(at)?;
            let text = identity.as_ref().map_or(Ok(own), |f| f.text(&record)).map_err(at)?;
            let hash = hash64(text.trim().as_bytes());
            all.push(Labelled { item, split: split(&text), place, hash });
        }
        match all.is_empty() {
            true => Err(Error::input("no example is left of this file")
                .at(path.display())
                .hint("look at `only`, and whether the file is empty")),
            false => Ok(all),
        }
    }
}
