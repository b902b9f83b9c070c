//! A model folder in Hugging Face's layout: architecture, tensors, tokenizer.

use std::{collections::BTreeMap, path::PathBuf};

use super::{arrays, prelude::*};

pub fn matches(path: &Path) -> bool {
    path.join("config.json").is_file()
}

/// Keys of config.json worth a line, in the words of the families.
const SHOWN: [&str; 18] = [
    "vocab_size",
    "n_positions",
    "max_position_embeddings",
    "n_embd",
    "hidden_size",
    "d_model",
    "n_layer",
    "num_hidden_layers",
    "n_head",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "n_inner",
    "d_inner",
    "activation_function",
    "hidden_act",
    "tie_word_embeddings",
    "num_labels",
];

pub fn describe(path: &Path) -> Result<Value> {
    let config: Value = read_json(&path.join("config.json"))?;
    let mut tensors = Vec::new();
    let files: Vec<PathBuf> = entries(path)
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    for file in &files {
        tensors.extend(arrays::tensors(file)?);
    }
    let mut dtypes: BTreeMap<&str, u64> = BTreeMap::new();
    for tensor in &tensors {
        *dtypes.entry(string(tensor, "dtype")).or_default() +=
            tensor.get("elements").and_then(Value::as_u64).unwrap_or(0);
    }
    let shown =
        SHOWN.iter().filter_map(|key| Some((*key, config.get(*key).filter(|v| !v.is_null())?)));
    let shape: serde_json::Map<String, Value> =
        shown.map(|(k, v)| (k.to_owned(), v.clone())).collect();
    Ok(json!({
        "architectures": config.get("architectures"),
        "model_type": config.get("model_type"),
        "config": shape,
        "weights": files.len(),
        "parameters": arrays::elements(&tensors),
        "parameters_by_dtype": dtypes,
        "tokenizer": tokenizer(path)?,
        "chat_template": path.join("chat_template.jinja").is_file() || has_template(path),
        "tensors": tensors,
    }))
}

/// The kind and size of the tokenizer; null without one.
fn tokenizer(path: &Path) -> Result<Value> {
    let file = path.join("tokenizer.json");
    if !file.is_file() {
        return Ok(Value::Null);
    }
    let json: Value = read_json(&file)?;
    let model = json.get("model").cloned().unwrap_or_default();
    let entries = match model.get("vocab") {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(rows)) => rows.len(),
        _ => 0,
    };
    let added: Vec<&str> =
        list(&json, "added_tokens").iter().map(|t| string(t, "content")).collect();
    Ok(json!({ "type": model.get("type"), "vocabulary": entries, "special": added }))
}

fn has_template(path: &Path) -> bool {
    read_json::<Value>(&path.join("tokenizer_config.json"))
        .is_ok_and(|c| c.get("chat_template").is_some())
}

pub fn show(value: &Value) -> String {
    let names: Vec<&str> = list(value, "architectures").iter().filter_map(Value::as_str).collect();
    let dtypes = value.get("parameters_by_dtype").and_then(Value::as_object);
    let dtypes = dtypes
        .into_iter()
        .flatten()
        .map(|(d, n)| format!("{} {d}", format::count(n.as_f64().unwrap_or(0.0))));
    let tokenizer = value.get("tokenizer").filter(|t| !t.is_null()).map(|t| {
        let special =
            list(t, "special").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
        let entries = count(t, "vocabulary");
        format!("{}, {entries} entries; special: {special}", string(t, "type"))
    });
    let parameters = match value.get("weights").and_then(Value::as_u64) {
        Some(0) => "no .safetensors file in this folder".to_owned(),
        _ => format!("{} ({})", count(value, "parameters"), dtypes.collect::<Vec<_>>().join(", ")),
    };
    let mut facts = vec![
        ("architecture", names.join(", ")),
        ("family", string(value, "model_type").to_owned()),
        ("parameters", parameters),
        ("tokenizer", tokenizer.unwrap_or_else(|| "none".into())),
        (
            "chat template",
            if value.get("chat_template") == Some(&Value::Bool(true)) { "yes" } else { "no" }
                .into(),
        ),
    ];
    let config = value.get("config").and_then(Value::as_object);
    for (key, value) in config.into_iter().flatten() {
        facts.push((key, value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    format!("{}\n{}", show_facts(&facts), arrays::show_tensors(value))
}
