//! Post-processors: what puts special tokens around texts. The tokenizers crate's, looked at first: it
//! takes for granted that a template names only what is there.

use athanor_store::{Error, Result};
use serde_json::Value;
use tokenizers::PostProcessorWrapper;

use super::{
    budget::Budget,
    parts::{object, tree},
};

/// Parts of a template: each may stand for the whole text.
const MOST_PIECES: usize = 32;
/// Ids of a special token.
const MOST_IDS: usize = 32;

/// From the file's text.
pub(super) fn read(json: &str, budget: &mut Budget) -> Result<PostProcessorWrapper> {
    let value = tree(json, budget)?;
    if value["type"] == "Sequence" {
        let list = value["processors"].as_array();
        let list = list.ok_or_else(|| Error::input("a Sequence without a list `processors`"))?;
        budget.limit("post-processors", list.len(), 8)?;
        let mut adding = 0;
        for part in list {
            check(part, budget)?;
            adding += usize::from(part["type"] != "ByteLevel");
        }
        budget.limit("post-processors that add tokens", adding, 1)?;
    } else {
        check(&value, budget)?;
    }
    serde_json::from_value(value).map_err(|e| Error::input(format!("cannot be read: {e}")))
}

/// Whether a single text's own tokens are what they were before it.
pub(super) fn keeps(json: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(json) else { return false };
    let parts = value["processors"].as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
    parts.iter().filter(|p| p["type"] == "TemplateProcessing").all(|template| {
        let pieces = template["single"].as_array().map(Vec::as_slice).unwrap_or_default();
        pieces.iter().filter(|p| p.get("Sequence").is_some()).count() == 1
    })
}

fn check(value: &Value, budget: &Budget) -> Result<()> {
    let map = object(value, "a post-processor")?;
    match value["type"].as_str() {
        Some("ByteLevel" | "BertProcessing" | "RobertaProcessing") => Ok(()),
        Some("TemplateProcessing") => {
            let specials = object(&value["special_tokens"], "`special_tokens`")?;
            for (name, special) in specials {
                let length = |key: &str| special[key].as_array().map(Vec::len);
                let ids = length("ids");
                if ids.is_none() || ids != length("tokens") {
                    return Err(Error::input(format!(
                        "special token {name:?} has not as many `ids` as `tokens`"
                    )));
                }
                budget.limit("ids of a special token", ids.unwrap_or(0), MOST_IDS)?;
            }
            for key in ["single", "pair"] {
                let pieces = value[key].as_array().map(Vec::as_slice).unwrap_or_default();
                budget.limit("pieces of a template", pieces.len(), MOST_PIECES)?;
                for piece in pieces {
                    let special = piece["SpecialToken"]["id"].as_str();
                    if let Some(id) = special.filter(|id| !specials.contains_key(*id)) {
                        let what = format!("`{key}` names {id:?}, which `special_tokens` lacks");
                        return Err(Error::input(what));
                    }
                    if key == "single" && piece["Sequence"]["id"] == "B" {
                        return Err(Error::input("`single` asks for a second text"));
                    }
                }
            }
            Ok(())
        }
        Some(other) => Err(Error::input(format!("of type {other:?}")).hint(
            "known: ByteLevel, BertProcessing, RobertaProcessing, TemplateProcessing, Sequence",
        )),
        // Before 2020 the type was not written.
        None if map.contains_key("sep") && map.contains_key("cls") => Ok(()),
        None => Err(Error::input("no `type`")),
    }
}
