//! A shard folder: documents, tokens, sizes, the first tokens, and its files against their hashes.

use std::{fs::File, io::Read};

use super::prelude::*;
use crate::hashes::hashes;

pub fn matches(path: &Path) -> bool {
    path.join("index.json").is_file()
}

/// Tokens shown from each split's beginning.
const FIRST: usize = 16;

pub fn describe(path: &Path) -> Result<Value> {
    let file = path.join("index.json");
    let index: Value = read_json(&file)?;
    let shards = list(&index, "shards");
    if index.get("shards").is_none() {
        return Err(Error::input("no list `shards`: this is not the index of a shard folder")
            .at(file.display()));
    }
    let dtype = string(&index, "dtype");
    let mut files = hashes(&json!({ "shards": shards }));
    files.extend(shards.iter().filter_map(documents));
    let states = verify(path, &files);
    let rows = shards.iter().map(|shard| {
        let name = string(shard, "file");
        let of = |name: &str| {
            states.iter().find(|s| string(s, "name") == name).map(|s| string(s, "state"))
        };
        // A fault in the documents' offsets is shown if the tokens are whole.
        let offsets = documents(shard).and_then(|(name, _)| of(&name)).unwrap_or("ok");
        let state = match of(name).unwrap_or("no hash") {
            "ok" if offsets != "ok" => format!("offsets of documents {offsets}"),
            state => state.to_owned(),
        };
        json!({
            "file": name,
            "documents": shard.get("documents"),
            "tokens": shard.get("tokens"),
            "bytes": shard.get("bytes"),
            "state": state,
            "first": first(path, name, dtype),
        })
    });
    let rows: Vec<Value> = rows.collect();
    let sum = |key: &str| rows.iter().filter_map(|r| number(r, &[key])).sum::<f64>() as u64;
    Ok(json!({
        "dtype": dtype,
        "vocab_size": number(&index, &["vocab_size"]).map(|v| v as u64),
        "documents": sum("documents"),
        "tokens": sum("tokens"),
        "intact": intact(&states) && states.len() >= rows.len(),
        "shards": rows,
    }))
}

/// The file of the documents' offsets and its hash.
fn documents(shard: &Value) -> Option<(String, String)> {
    let hash = Some(string(shard, "docs_sha256")).filter(|h| !h.is_empty())?;
    Some((
        Path::new(string(shard, "file")).with_extension("docs").display().to_string(),
        hash.to_owned(),
    ))
}

/// The first tokens of a shard; none if it cannot be read or its name leads out of the folder.
fn first(dir: &Path, name: &str, dtype: &str) -> Option<Vec<u32>> {
    let width = match dtype {
        "u16" | "uint16" => 2,
        "u32" | "uint32" => 4,
        _ => return None,
    };
    if !inside(name) {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(dir.join(name)).ok()?.take((FIRST * width) as u64).read_to_end(&mut bytes).ok()?;
    // Little-endian.
    Some(
        bytes
            .chunks_exact(width)
            .map(|c| c.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b)))
            .collect(),
    )
}

pub fn show(value: &Value) -> String {
    let whole = value.get("intact").and_then(Value::as_bool) == Some(true);
    let facts = [
        ("tokens", count(value, "tokens")),
        ("documents", count(value, "documents")),
        ("vocabulary", count(value, "vocab_size")),
        ("stored as", string(value, "dtype").to_owned()),
        (
            "state",
            if whole {
                "every shard matches its hash"
            } else {
                "DAMAGED: a shard is missing or its hash differs"
            }
            .into(),
        ),
    ];
    let titles = ["shard", ">documents", ">tokens", ">size", "state", "first tokens"];
    let table = show_table(&titles, list(value, "shards"), |shard| {
        let first = list(shard, "first").iter().take(8).map(Value::to_string);
        let first: Vec<String> = first.collect();
        let [documents, tokens] = ["documents", "tokens"].map(|key| count(shard, key));
        let size = amount(shard, "bytes", format::bytes);
        let (file, state) = (string(shard, "file"), string(shard, "state"));
        vec![file.into(), documents, tokens, size, state.into(), first.join(" ")]
    });
    format!("{}\n{table}", show_facts(&facts))
}
