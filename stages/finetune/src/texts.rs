//! Texts and pairs of texts as tasks read them.

use athanor_data::LabelledSection;
use athanor_data::labelled::Field;
use athanor_store::{Error, Result};

use crate::{
    encoding::{self, Encoded},
    task::{Kit, Read},
};

/// A text, or two.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
}

fn hint(error: Error) -> Error {
    error.hint("`text`, `pair` and `label` name fields, or are templates over fields")
}

/// What reads the texts of a record.
pub(crate) fn question(source: &LabelledSection) -> Result<Read<Text>> {
    let text = Field::new(&source.text)?;
    let pair = (!source.pair.is_empty()).then(|| Field::new(&source.pair)).transpose()?;
    Ok(Box::new(move |record| {
        let pair = pair.as_ref().map(|field| field.text(record).map_err(hint)).transpose()?;
        Ok(Text { text: text.text(record).map_err(hint)?, pair })
    }))
}

/// What reads the label of a record.
pub(crate) fn answers(source: &LabelledSection) -> Result<Read<Vec<String>>> {
    let label = Field::new(&source.label)?;
    Ok(Box::new(move |record| Ok(vec![label.text(record).map_err(hint)?.trim().to_owned()])))
}

impl Text {
    /// The text that decides what an example is for.
    pub(crate) fn identity(&self) -> String {
        match &self.pair {
            Some(pair) => format!("{}\n{pair}", self.text),
            None => self.text.clone(),
        }
    }

    /// One row of tokens.
    pub(crate) fn rows(&self, kit: &Kit) -> Result<Vec<Encoded>> {
        let pair = self.pair.as_deref();
        Ok(vec![encoding::texts(&kit.tokenizer, &self.text, pair, kit.limit)?])
    }
}
