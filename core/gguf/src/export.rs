//! A Hugging Face folder as a GGUF file.

use std::path::Path;

use athanor_store::{
    Array, ArrayData, Error, Result, array_index, load_arrays, read_json, write_atomic_with,
};
use serde_json::{Map, Value as Json};

use crate::{
    config::Folder,
    quant::Type,
    tokenizer,
    write::{Entries, Tensor, write},
};

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// `general.architecture`.
    pub architecture: String,
    /// Tensors written.
    pub tensors: usize,
    /// Numbers in them.
    pub parameters: usize,
    /// Matrices that stand as F16 because their rows are no whole number of blocks.
    pub fallbacks: usize,
}

/// Writes `folder` (config.json, model.safetensors, tokenizer.json) as the file `path`, matrices in
/// `kind`, the rest in F32. `name` becomes `general.name`.
///
/// # Errors
/// Input, naming file and key, for an architecture or tokeniser that llama.cpp would read otherwise.
/// Those of reading and writing.
pub fn export(folder: &Path, path: &Path, kind: Type, name: &str) -> Result<Exported> {
    if !Type::WRITTEN.contains(&kind) {
        let known: Vec<&str> = Type::WRITTEN.iter().map(|t| t.name()).collect();
        return Err(Error::input(format!("{} is not written", kind.name()))
            .hint(format!("known: {}", known.join(", "))));
    }
    let file = folder.join("config.json");
    let config: Map<String, Json> = read_json(&file)?;
    let at = |e: Error| e.at(file.display());
    let model = Folder::new(&config).map_err(at)?;
    let weights = folder.join("model.safetensors");
    // Before the numbers are read.
    let known = |name: &str| model.arch.to_gguf(name).is_some() || ignored(name);
    if let Some(other) = array_index(&weights)?.iter().find(|a| !known(&a.name)) {
        return Err(Error::input("llama.cpp has no place for it").at(format!(
            "{}: tensor {}",
            weights.display(),
            other.name
        )));
    }
    let mut entries = Entries::default();
    entries.text("general.architecture", model.arch.name());
    entries.text("general.type", "model");
    entries.text("general.name", name);
    entries.unsigned("general.file_type", kind.file_type());
    entries.unsigned("general.quantization_version", 2);
    model.metadata(&mut entries).map_err(at)?;
    tokenizer::to_metadata(folder, model.vocabulary, &mut entries)?;

    let mut tensors = Vec::new();
    let mut fallbacks = 0;
    for Array { name, mut shape, data } in load_arrays(&weights)? {
        let (ArrayData::F32(mut values), Some((name, change))) = (data, model.arch.to_gguf(&name))
        else {
            continue;
        };
        change.apply(&mut values, &mut shape, model.heads, false);
        let row = shape.last().copied().unwrap_or(1);
        let kind = match kind {
            _ if shape.len() < 2 || name == "position_embd.weight" => Type::F32,
            kind if row.is_multiple_of(kind.block()) => kind,
            _ => {
                fallbacks += 1;
                Type::F16
            }
        };
        tensors.push(Tensor { name, shape, kind, values });
    }
    if let Some(values) = model.frequencies() {
        let shape = vec![values.len()];
        tensors.push(Tensor { name: "rope_freqs.weight".into(), shape, kind: Type::F32, values });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let parameters = tensors.iter().map(|t| t.values.len()).sum();
    write_atomic_with(path, |out| write(out, &entries, &tensors))?;
    let architecture = model.arch.name().into();
    Ok(Exported { architecture, tensors: tensors.len(), parameters, fallbacks })
}

/// Masks and tables that old exports carry along.
fn ignored(name: &str) -> bool {
    [".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"]
        .iter()
        .any(|end| name.ends_with(end))
}
