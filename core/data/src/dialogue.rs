//! Conversations from records: either a list of messages, or templates over a record's fields.

use athanor_store::{Check, Error, Problem, Recipe, Result, section};
use athanor_text::Message;
use serde_json::Value;
use std::path::PathBuf;

use crate::{Expression, Record, Shares, Split, Template, hash64, records};

section! {
    /// Where conversations come from: JSON lines (or a gzip of them).
    pub struct DialogueSection {
        /// A name for accounts; the file's name if not set.
        name: String = String::new(),
        /// The file, relative to the recipe.
        path: PathBuf = PathBuf::new(),
        /// Expression over a record's fields; records for which it is false are left out.
        only: String = String::new(),
        /// Field with the list of messages (role, content); used when `user` is empty.
        messages: String = "messages".into(),
        /// Template of a system message; none if empty.
        system: String = String::new(),
        /// Template of the user's message.
        user: String = String::new(),
        /// Template of the assistant's answer.
        assistant: String = String::new(),
        /// Template of the text that decides whether a record is held out; all messages if empty.
        /// Give it the same text in every stage, and no stage learns from what another measures.
        identity: String = String::new(),
        /// Records at most, by order of the file; 0 takes all.
        limit: usize = 0,
    }
}

impl Check for DialogueSection {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless(!self.path.as_os_str().is_empty(), "path", "is missing")?;
        Template::check("system", &self.system)?;
        Template::check("user", &self.user)?;
        Template::check("assistant", &self.assistant)?;
        Template::check("identity", &self.identity)?;
        if self.only.is_empty() { Ok(()) } else { Expression::check("only", &self.only) }
    }
}

/// One conversation.
#[derive(Clone, Debug)]
pub struct Dialogue {
    /// What was said.
    pub messages: Vec<Message>,
    /// What it is for.
    pub split: Split,
    /// Of the text that decides what it is for: an order that no file's order shines through.
    pub hash: u64,
    /// The record that it was made from.
    pub record: Record,
    /// `FILE:LINE` of the record.
    pub place: String,
}

impl Dialogue {
    /// Whether it is for measuring only.
    pub fn heldout(&self) -> bool {
        self.split == Split::Heldout
    }
}

impl DialogueSection {
    /// The source's name.
    pub fn title(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        self.path.file_name().map_or("data".into(), |n| n.to_string_lossy().into_owned())
    }

    /// Reads all conversations, each with what it is for.
    ///
    /// # Errors
    /// Input, naming file and line.
    pub fn read(&self, recipe: &Recipe, shares: impl Into<Shares>) -> Result<Vec<Dialogue>> {
        let shares = shares.into();
        let path = recipe.resolve(&self.path);
        let only = if self.only.is_empty() { None } else { Some(Expression::new(&self.only)?) };
        let identity =
            if self.identity.is_empty() { None } else { Some(Template::new(&self.identity)?) };
        let parts: Vec<(&str, Template)> =
            [("system", &self.system), ("user", &self.user), ("assistant", &self.assistant)]
                .into_iter()
                .filter(|(_, source)| !source.is_empty())
                .map(|(role, source)| Ok((role, Template::new(source)?)))
                .collect::<Result<_>>()?;
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let mut all = Vec::new();
        let mut records = records::open(&path)?;
        while all.len() < limit {
            let Some(record) = records.next() else { break };
            let record = record?;
            let at = |e: Error| e.at(records.place());
            if let Some(only) = &only
                && !only.holds(&record).map_err(at)?
            {
                continue;
            }
            let messages = if self.user.is_empty() {
                self.listed(&record).map_err(at)?
            } else {
                parts
                    .iter()
                    .map(|(role, t)| Ok(Message::new(*role, t.render(&record)?)))
                    .collect::<Result<_>>()
                    .map_err(at)?
            };
            let identity = match &identity {
                Some(template) => template.render(&record).map_err(at)?,
                None => messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n"),
            };
            let (split, place) = (shares.split(&identity), records.place());
            let hash = hash64(identity.trim().as_bytes());
            all.push(Dialogue { messages, split, hash, record, place });
        }
        if all.is_empty() {
            return Err(Error::input("no conversation is left of this file")
                .at(path.display())
                .hint("look at `only`, and whether the file is empty"));
        }
        Ok(all)
    }

    fn listed(&self, record: &Record) -> Result<Vec<Message>> {
        let wrong = |what: &str| {
            Error::input(format!("`{}` {what}", self.messages))
                .hint("expected: [{\"role\": \"user\", \"content\": \"…\"}, …]; or set `user` and `assistant` templates")
        };
        let list = record.0.get(&self.messages).ok_or_else(|| {
            let fields: Vec<&str> = record.0.keys().map(String::as_str).collect();
            let fields = fields.join(", ");
            Error::input(format!("no field `{}`", self.messages)).hint(format!(
                "set templates `user` and `assistant` over the record's fields ({fields}), or name \
                 the field with the list of messages with `messages`"
            ))
        })?;
        let Value::Array(list) = list else { return Err(wrong("is not a list")) };
        list.iter()
            .map(|m| match (m["role"].as_str(), m["content"].as_str()) {
                (Some(role), Some(content)) => Ok(Message::new(role, content)),
                _ => Err(wrong("holds an entry without role and content")),
            })
            .collect()
    }
}
