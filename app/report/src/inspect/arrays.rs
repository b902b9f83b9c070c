//! A .safetensors file: its tensors, from the header alone.

use athanor_store::array_index;

use super::prelude::*;

pub fn matches(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|e| e == "safetensors")
}

pub fn describe(path: &Path) -> Result<Value> {
    let tensors = tensors(path)?;
    Ok(json!({ "bytes": size(path), "elements": elements(&tensors), "tensors": tensors }))
}

pub fn show(value: &Value) -> String {
    let size = amount(value, "bytes", format::bytes);
    let facts = [("size", size), ("elements", count(value, "elements"))];
    format!("{}\n{}", show_facts(&facts), show_tensors(value))
}

/// The tensors of a file: name, shape, dtype, elements.
pub fn tensors(path: &Path) -> Result<Vec<Value>> {
    let index = array_index(path)?;
    Ok(index
        .iter()
        .map(|a| {
            let elements = a.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
            json!({ "name": a.name, "shape": a.shape, "dtype": a.dtype.to_string(), "elements": elements })
        })
        .collect())
}

/// The sum of their elements.
pub fn elements(tensors: &[Value]) -> u64 {
    tensors.iter().filter_map(|t| t.get("elements")?.as_u64()).fold(0, u64::saturating_add)
}

/// A table of `tensors`; those of equal layers share a line, with `*` for the layer's number.
pub fn show_tensors(value: &Value) -> String {
    let mut groups: Vec<(String, String, String, u64, u64)> = Vec::new();
    for tensor in list(value, "tensors") {
        let parts = string(tensor, "name")
            .split('.')
            .map(|p| if p.parse::<u32>().is_ok() { "*" } else { p });
        let name = parts.collect::<Vec<_>>().join(".");
        let shape =
            tensor.get("shape").map_or_else(String::new, |s| s.to_string().replace(',', ", "));
        let dtype = string(tensor, "dtype").to_owned();
        let elements = tensor.get("elements").and_then(Value::as_u64).unwrap_or(0);
        match groups.iter_mut().find(|g| g.0 == name && g.1 == shape && g.2 == dtype) {
            Some(group) => {
                group.3 += 1;
                group.4 = group.4.saturating_add(elements);
            }
            None => groups.push((name, shape, dtype, 1, elements)),
        }
    }
    let mut table = Table::with_titles(&["tensor", "shape", "dtype", ">times", ">elements"]);
    for (name, shape, dtype, times, elements) in &groups {
        table.row([name, shape, dtype, &times.to_string(), &format::count(*elements as f64)]);
    }
    table.to_string()
}
