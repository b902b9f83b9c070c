//! Hashes as manifests write them: `{"file": "hex"}`, `{"file": {"sha256": "hex"}}` or `[{"file", "sha256"}]`.

use serde_json::Value;

use crate::run_files::string;

/// Every (file, SHA-256 in hex) of a manifest, at the top or under `files` or `shards`, in its order.
pub fn hashes(manifest: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for value in
        [manifest.get("files"), manifest.get("shards"), manifest.get("sha256"), Some(manifest)]
            .into_iter()
            .flatten()
    {
        match value {
            Value::Object(map) => {
                let hex =
                    |v: &Value| v.as_str().or_else(|| v.get("sha256")?.as_str()).map(str::to_owned);
                found.extend(map.iter().filter_map(|(file, v)| Some((file.clone(), hex(v)?))));
            }
            Value::Array(rows) => found.extend(rows.iter().map(|row| {
                let file =
                    ["file", "path", "name"].iter().map(|k| string(row, k)).find(|s| !s.is_empty());
                (file.unwrap_or_default().to_owned(), string(row, "sha256").to_owned())
            })),
            _ => {}
        }
    }
    found.retain(|(file, hex)| {
        !file.is_empty() && hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())
    });
    // What is not a file's name, such as the fingerprint of the whole.
    found.retain(|(file, _)| {
        !matches!(file.as_str(), "fingerprint" | "tokenizer_sha256" | "tokenizer_hash" | "recipe")
    });
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|(file, _)| seen.insert(file.clone()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_three_shapes() {
        let hex = "ab".repeat(32);
        for manifest in [
            json!({"files": {"a.bin": hex}, "fingerprint": hex}),
            json!({"files": {"a.bin": {"sha256": hex, "bytes": 3}}}),
            json!({"shards": [{"file": "a.bin", "sha256": hex}, {"file": "b.bin", "sha256": "short"}]}),
            json!({"a.bin": hex, "step": 3}),
        ] {
            assert_eq!(hashes(&manifest), [("a.bin".to_owned(), hex.clone())], "{manifest}");
        }
    }
}
