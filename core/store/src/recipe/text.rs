//! Sections as TOML text: resolved, and annotated.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::{Key, Shape};

/// A section as TOML: every key that is set, nested sections as `[name.nested]`, lists of sections
/// as `[[name.nested]]`. `value` is `serde_json::to_value(&section)`.
pub fn to_toml(name: &str, value: &Value) -> String {
    let mut out = String::new();
    if let Value::Object(map) = value {
        let _ = writeln!(out, "[{name}]");
        table(&mut out, name, map);
    }
    out
}

fn table(out: &mut String, name: &str, map: &Map<String, Value>) {
    // TOML wants a table's plain keys before the tables nested in it.
    for (key, value) in map {
        if !is_table(value) && !is_tables(value) && !value.is_null() {
            let _ = writeln!(out, "{} = {}", toml_key(key), toml_value(value));
        }
    }
    for (key, value) in map {
        let name = format!("{name}.{}", toml_key(key));
        let each: &[Value] = match value {
            Value::Object(_) => std::slice::from_ref(value),
            Value::Array(list) if is_tables(value) => list,
            _ => &[],
        };
        let header = if is_tables(value) { format!("[[{name}]]") } else { format!("[{name}]") };
        for value in each {
            let _ = writeln!(out, "\n{header}");
            if let Value::Object(map) = value {
                table(out, &name, map);
            }
        }
    }
}

fn is_table(value: &Value) -> bool {
    value.is_object()
}

fn is_tables(value: &Value) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_object))
}

/// The annotated recipe: every key with its doc as a comment and its default as its value. What is
/// not set by default stands there as a comment. Give sections as [`section_key`](super::section_key).
pub fn describe(keys: &[Key]) -> String {
    let mut out = String::new();
    describe_table(&mut out, "", keys, "");
    out
}

/// `off` is `# ` inside of a table that is only an example.
fn describe_table(out: &mut String, name: &str, keys: &[Key], off: &str) {
    let doc = |out: &mut String, key: &Key| {
        for line in key.doc.lines() {
            let _ = writeln!(out, "{}", format!("{off}# {line}").trim_end());
        }
    };
    let (plain, nested): (Vec<_>, Vec<_>) = keys.iter().partition(|k| k.keys().is_empty());
    for key in plain {
        doc(out, key);
        let _ = match &key.default {
            Value::Null => {
                writeln!(out, "{off}# {} = …  # {}; not set", toml_key(&key.name), key.shape)
            }
            value => writeln!(out, "{off}{} = {}", toml_key(&key.name), toml_value(value)),
        };
    }
    for key in nested {
        let full = match name {
            "" => toml_key(&key.name),
            _ => format!("{name}.{}", toml_key(&key.name)),
        };
        if !out.is_empty() {
            out.push('\n');
        }
        doc(out, key);
        match (&key.default, key.shape.is_tables()) {
            (Value::Array(list), true) if !list.is_empty() => {
                for value in list {
                    let mut shape = Shape::Section(key.keys().to_vec());
                    shape.set_defaults(value);
                    let _ = writeln!(out, "{off}[[{full}]]");
                    describe_table(out, &full, shape.keys(), off);
                }
            }
            (_, true) => {
                let _ = writeln!(out, "{off}# [[{full}]]");
                describe_table(out, &full, key.keys(), "# ");
            }
            (Value::Null, false) => {
                let _ = writeln!(out, "{off}# [{full}]");
                describe_table(out, &full, key.keys(), "# ");
            }
            (_, false) => {
                let _ = writeln!(out, "{off}[{full}]");
                describe_table(out, &full, key.keys(), off);
            }
        }
    }
}

fn toml_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        toml::Value::String(key.to_owned()).to_string()
    }
}

/// A value on one line.
pub(super) fn toml_value(value: &Value) -> String {
    match value {
        // TOML has no null; such keys are left out before they come here.
        Value::Null => "\"\"".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => match n.as_f64() {
            Some(x) if n.is_f64() => toml::Value::Float(x).to_string(),
            _ => n.to_string(),
        },
        Value::String(s) => toml::Value::String(s.clone()).to_string(),
        Value::Array(list) => {
            let list: Vec<_> = list.iter().map(toml_value).collect();
            format!("[{}]", list.join(", "))
        }
        Value::Object(map) => {
            let map: Vec<_> = map
                .iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| format!("{} = {}", toml_key(k), toml_value(v)))
                .collect();
            format!("{{ {} }}", map.join(", "))
        }
    }
}
