//! Text made from a record's fields: shared by the formats that have fields.

use athanor_data::{Expression, Record, Template};
use athanor_store::Result;
use serde_json::Value;

use super::SourceSection;

/// Which records are wanted, and how their text is made.
pub(super) struct Reading {
    text: Text,
    only: Option<Expression>,
}

enum Text {
    Field(String),
    Template(Box<Template>),
}

impl Reading {
    pub(super) fn new(source: &SourceSection) -> Result<Self> {
        let text = if source.text.contains("{{") || source.text.contains("{%") {
            Text::Template(Box::new(Template::new(&source.text)?))
        } else {
            Text::Field(source.text.clone())
        };
        let only = match source.only.as_str() {
            "" => None,
            expression => Some(Expression::new(expression)?),
        };
        Ok(Self { text, only })
    }

    /// The names that are looked up in a record, beside `id` and `url`; none if it may be any.
    pub(super) fn fields(&self) -> Option<Vec<String>> {
        let mut fields = match &self.text {
            Text::Field(name) => vec![name.clone()],
            Text::Template(template) => template.fields()?,
        };
        if let Some(only) = &self.only {
            fields.extend(only.fields()?);
        }
        Some(fields)
    }

    /// Name, URL and text of a record; nothing if it is not wanted.
    pub(super) fn of(
        &self,
        record: &Record,
        place: impl FnOnce() -> String,
    ) -> Result<Option<(String, String, String)>> {
        if let Some(only) = &self.only
            && !only.holds(record)?
        {
            return Ok(None);
        }
        let id = match record.0.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => place(),
        };
        let url = record.0.get("url").and_then(Value::as_str).unwrap_or("").to_string();
        let text = match &self.text {
            Text::Field(name) => record.text(name).map(String::from),
            Text::Template(template) => template.render(record),
        }?;
        Ok(Some((id, url, text)))
    }
}
