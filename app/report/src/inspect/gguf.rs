//! A GGUF file: architecture, metadata, tensors, from the header alone.

use athanor_gguf::{File, Value as Entry};

use super::{arrays, prelude::*};
use crate::table::clean;

pub fn matches(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
}

/// Longest text of the metadata that is shown whole.
const LONGEST: usize = 200;

pub fn describe(path: &Path) -> Result<Value> {
    let file = File::open(path)?;
    let tensors: Vec<Value> = file
        .tensors
        .iter()
        .map(|t| {
            let dtype = t.kind.map_or_else(|| format!("type {}", t.type_id), |k| k.name().into());
            json!({ "name": t.name, "shape": t.shape, "dtype": dtype, "elements": t.elements() })
        })
        .collect();
    let metadata: Map<String, Value> =
        file.metadata().iter().map(|(key, value)| (key.clone(), entry(value))).collect();
    Ok(json!({
        "version": file.version,
        "architecture": file.text("general.architecture"),
        "name": file.text("general.name"),
        "bytes": size(path),
        "parameters": arrays::elements(&tensors),
        "chat_template": file.text("tokenizer.chat_template").is_some(),
        "metadata": metadata,
        "tensors": tensors,
    }))
}

/// A value, long lists and texts by their length.
fn entry(value: &Entry) -> Value {
    let list = |n: usize, of: &str| json!(format!("{n} {of}"));
    match value {
        Entry::Unsigned(n) => json!(n),
        Entry::Signed(n) => json!(n),
        Entry::Float(x) => json!(x),
        Entry::Bool(b) => json!(b),
        Entry::Text(t) if t.chars().count() > LONGEST => list(t.chars().count(), "characters"),
        Entry::Text(t) => json!(t),
        Entry::Unsigneds(all) => list(all.len(), "numbers"),
        Entry::Signeds(all) => list(all.len(), "numbers"),
        Entry::Floats(all) => list(all.len(), "numbers"),
        Entry::Bools(all) => list(all.len(), "flags"),
        Entry::Texts(all) => list(all.len(), "texts"),
    }
}

pub fn show(value: &Value) -> String {
    let mut facts = vec![
        ("architecture", string(value, "architecture").to_owned()),
        ("name", clean(string(value, "name"))),
        ("size", amount(value, "bytes", format::bytes)),
        ("parameters", count(value, "parameters")),
    ];
    let metadata = value.get("metadata").and_then(Value::as_object);
    for (key, value) in metadata.into_iter().flatten().filter(|(k, _)| !k.starts_with("general.")) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        facts.push((key, clean(&text)));
    }
    format!("{}\n{}", show_facts(&facts), arrays::show_tensors(value))
}
