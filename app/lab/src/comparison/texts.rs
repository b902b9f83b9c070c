//! Texts that each model of a comparison is measured on, in bits per byte.

use std::path::{Path, PathBuf};

use athanor_data::{Expression, records};
use athanor_models::Model;
use athanor_store::{
    Check, Error, Problem, Result, read_json, section, sha256_bytes, sha256_file, write_atomic,
    write_atomic_with, write_json,
};
use athanor_tensor::Device;
use athanor_text::Tokenizer;
use serde_json::{Value, json};

use super::slug;
use crate::{
    documents::{Documents, is_text, whole},
    session::Session,
    tasks::{Subject, TASKS},
};

/// The task of `athanor eval` that measures them.
const TASK: &str = "bits-per-byte";

section! {
    /// Texts that each model is measured on, in bits per byte.
    pub struct TextsSection {
        /// Their name in the table.
        name: String = String::new(),
        /// Model whose corpus held them out; its recipe needs corpus.write_texts.
        heldout_of: String = String::new(),
        /// Or a file of them, JSON lines or text, from this file's folder.
        path: Option<PathBuf> = None,
        /// The field that holds the text.
        text: String = "text".into(),
        /// Expression over the fields: texts for which it is false are left out, as in "source == 'books'".
        only: String = String::new(),
        /// Texts at most; 0: all.
        limit: usize = 0,
    }
}

impl Check for TextsSection {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless(!slug(&self.name).is_empty(), "name", "must have a letter or a digit")?;
        let one = self.path.is_some() == self.heldout_of.is_empty();
        Problem::unless(one, "path", "must be there, or heldout_of, and not both")?;
        if !self.only.is_empty() {
            Expression::new(&self.only).map_err(|e| Problem::new("only", e.to_string()))?;
        }
        Ok(())
    }
}

/// Writes the texts of a section into `folder`, once for all models; gives the file and its hash.
///
/// # Errors
/// Input: a file that cannot be read, an expression that fails, no text left. Failed: writing.
pub(super) fn gather(
    section: &TextsSection,
    from: &Path,
    folder: &Path,
) -> Result<(PathBuf, String)> {
    let to = folder.join(format!("{}.jsonl", slug(&section.name)));
    let only = match section.only.as_str() {
        "" => None,
        source => Some(Expression::new(source)?),
    };
    let heldout = !section.heldout_of.is_empty();
    if is_text(from) {
        // One document, which has no fields.
        let line = json!({ "text": whole(from)? });
        write_atomic(&to, format!("{line}\n").as_bytes())?;
        let hash = sha256_file(&to)?;
        return Ok((to, hash));
    }
    let mut count = 0;
    let mut records = records::open(from)?;
    write_atomic_with(&to, |out| {
        while let Some(record) = records.next() {
            let record = record?;
            let at = |e: Error| e.at(records.place());
            if heldout && record.0.get("heldout") != Some(&Value::Bool(true)) {
                continue;
            }
            if let Some(only) = &only
                && !only.holds(&record).map_err(at)?
            {
                continue;
            }
            let line = json!({ "text": record.text(&section.text).map_err(at)? });
            writeln!(out, "{line}").map_err(|e| Error::io("write", &to, e))?;
            count += 1;
            if count == section.limit {
                break;
            }
        }
        match count {
            0 => Err(Error::input(format!("no text is left for {:?}", section.name))
                .at(from.display())
                .hint("see comparison.texts.only, and corpus.heldout_per_thousand")),
            _ => Ok(()),
        }
    })?;
    let hash = sha256_file(&to)?;
    Ok((to, hash))
}

/// A model that is measured.
pub(super) struct Measured {
    model: PathBuf,
    /// Of its weights.
    hash: String,
    device: Device,
}

impl Measured {
    /// The model of a folder.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn open(model: PathBuf, device: Device) -> Result<Self> {
        let hash = sha256_file(&model.join("model.safetensors"))?;
        Ok(Self { model, hash, device })
    }

    /// Writes its figures on gathered texts to `kept`, unless they are there already.
    ///
    /// # Errors
    /// Those of the evaluation.
    pub fn on(
        &self,
        session: &Session,
        (texts, hash): &(PathBuf, String),
        kept: &Path,
    ) -> Result<()> {
        let made_of = sha256_bytes(format!("{}{hash}", self.hash).as_bytes());
        let before = read_json::<Value>(kept);
        if before.is_ok_and(|before| before["made_of"] == json!(made_of)) {
            return Ok(());
        }
        let tokenizer = Tokenizer::load(&self.model)?;
        let documents = Documents::open(std::slice::from_ref(texts), "text")?;
        let model = Model::load(&self.model, self.device)?;
        let subject = Subject {
            folder: &self.model,
            model: &model,
            tokenizer: &tokenizer,
            documents,
            limit: 0,
            window: 0,
            stride: 0,
        };
        let mut figures = json!({ "made_of": made_of });
        for figure in (TASKS.find(TASK)?.run)(session, subject)? {
            figures[figure.name] =
                if figure.count { json!(figure.value as u64) } else { json!(figure.value) };
        }
        write_json(kept, &figures)
    }
}
