//! JSON lines: one document a line.

use std::path::Path;

use athanor_data::{Expression, Record, Template, records};
use athanor_store::Result;

use super::{Documents, Raw, short};
use crate::SourceSection;

/// How the text is made from a record.
enum Text {
    Field(String),
    Template(Box<Template>),
}

impl Text {
    fn of(&self, record: &Record) -> Result<String> {
        match self {
            Self::Field(name) => record.text(name).map(String::from),
            Self::Template(template) => template.render(record),
        }
    }
}

pub(super) fn open(path: &Path, source: &SourceSection) -> Result<Documents> {
    let text = if source.text.contains("{{") || source.text.contains("{%") {
        Text::Template(Box::new(Template::new(&source.text)?))
    } else {
        Text::Field(source.text.clone())
    };
    let only = match source.only.as_str() {
        "" => None,
        expression => Some(Expression::new(expression)?),
    };
    let mut records = records::open(path)?;
    let file = short(path);
    let mut line = 0usize;
    Ok(Box::new(std::iter::from_fn(move || {
        loop {
            let record = match records.next()? {
                Ok(record) => record,
                Err(e) => return Some(Err(e)),
            };
            line += 1;
            let one = || -> Result<Option<Raw>> {
                if let Some(only) = &only
                    && !only.holds(&record)?
                {
                    return Ok(None);
                }
                let id = match record.0.get("id") {
                    Some(serde_json::Value::String(id)) => id.clone(),
                    Some(serde_json::Value::Number(id)) => id.to_string(),
                    _ => format!("{file}:{line}"),
                };
                Ok(Some((id, text.of(&record)?)))
            };
            match one() {
                Ok(None) => {}
                Ok(Some(raw)) => return Some(Ok(raw)),
                Err(e) => return Some(Err(e.at(records.place()))),
            }
        }
    })))
}
