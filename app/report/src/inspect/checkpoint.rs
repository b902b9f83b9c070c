//! A checkpoint folder: its step, its files against their hashes, its tensors.

use super::{arrays, prelude::*};
use crate::hashes::hashes;

pub fn matches(path: &Path) -> bool {
    path.join("manifest.json").is_file() && path.join("state.json").is_file()
}

pub fn describe(path: &Path) -> Result<Value> {
    let manifest: Value = read_json(&path.join("manifest.json"))?;
    let files = verify(path, &hashes(&manifest));
    let mut groups = Vec::new();
    for file in entries(path).iter().filter(|p| p.extension().is_some_and(|e| e == "safetensors")) {
        let name = file.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        // The hash already shows a damaged file; the others are still worth showing.
        if let Ok(tensors) = arrays::tensors(file) {
            groups.push(
                json!({ "file": name, "elements": arrays::elements(&tensors), "tensors": tensors }),
            );
        }
    }
    Ok(json!({
        "step": number(&manifest, &["step"]).map(|s| s as u64),
        "athanor": manifest.get("athanor"),
        "intact": intact(&files),
        "files": files,
        "arrays": groups,
    }))
}

pub fn show(value: &Value) -> String {
    let state = match value.get("intact").and_then(Value::as_bool) {
        Some(true) if list(value, "files").is_empty() => "the manifest names no files",
        Some(true) => "every file matches its hash",
        _ => "DAMAGED: a file is missing or its hash differs",
    };
    let facts = [
        ("step", amount(value, "step", format::number)),
        ("written by", string(value, "athanor").to_owned()),
        ("state", state.to_owned()),
    ];
    let mut out = format!("{}\n{}", show_facts(&facts), show_files(value));
    for group in list(value, "arrays") {
        let elements = count(group, "elements");
        out += &format!(
            "\n{}: {elements} elements\n{}",
            string(group, "file"),
            arrays::show_tensors(group)
        );
    }
    out
}
