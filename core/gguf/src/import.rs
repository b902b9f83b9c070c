//! A GGUF file into a Hugging Face folder.

use std::{collections::BTreeMap, path::Path};

use athanor_store::{ArrayDataRef, ArrayRef, Error, Result, save_arrays, write_json};
use serde_json::{Map, Value as Json, json};

use crate::{
    config,
    file::{File, TensorInfo},
    tokenizer,
};

/// What was imported.
#[derive(Clone, Debug)]
pub struct Imported {
    /// `general.architecture`.
    pub architecture: String,
    /// Tensors written.
    pub tensors: usize,
    /// Numbers in them.
    pub parameters: usize,
    /// Names in the file that the model has no place for.
    pub left_over: Vec<String>,
    /// What was guessed, in words.
    pub warnings: Vec<String>,
}

/// Writes config.json, model.safetensors (f32, dequantised), generation_config.json and, if the
/// file has a vocabulary, tokenizer.json and its companions into an existing folder.
///
/// # Errors
/// Input, naming file and key, for what is damaged, or not read: other architectures, element types
/// and tokenisers. Those of reading and writing.
pub fn import(path: &Path, folder: &Path) -> Result<Imported> {
    let mut file = File::open(path)?;
    let at = |e: Error| e.at(path.display());
    let arch = config::arch(&file)?;
    let tensors = file.tensors.clone();
    let frequencies = tensors.iter().find(|t| t.name == "rope_freqs.weight");
    let frequencies = frequencies.map(|t| file.read(t)).transpose()?;
    let mut config = config::to_folder(&file, arch, frequencies.as_deref()).map_err(at)?;
    let heads = ["num_attention_heads", "num_key_value_heads"]
        .map(|key| config.get(key).and_then(Json::as_u64).unwrap_or(1) as usize);

    let mut arrays: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let mut left_over = Vec::new();
    for tensor in &tensors {
        let Some((name, change)) = arch.to_folder(&tensor.name) else {
            if tensor.name != "rope_freqs.weight" {
                left_over.push(tensor.name.clone());
            }
            continue;
        };
        let (mut values, mut shape) = (file.read(tensor)?, tensor.shape.clone());
        change.apply(&mut values, &mut shape, heads, true);
        arrays.push((name, shape, values));
    }
    fill_biases(&config, &mut arrays, &tensors);
    let refs: Vec<ArrayRef<'_>> = arrays
        .iter()
        .map(|(name, shape, data)| ArrayRef { name, shape, data: ArrayDataRef::F32(data) })
        .collect();
    save_arrays(&folder.join("model.safetensors"), &refs, &BTreeMap::new())?;
    let parameters = arrays.iter().map(|a| a.2.len()).sum();

    let mut generation = Map::new();
    for (key, name) in
        [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")]
    {
        if let Ok(id) = file.size(&format!("tokenizer.ggml.{name}_token_id"), None) {
            config.insert(key.into(), json!(id));
            generation.insert(key.into(), json!(id));
        }
    }
    // A chat model also ends at the end of a turn.
    if let Ok(turn) = file.size("tokenizer.ggml.eot_token_id", None) {
        let end = generation.get("eos_token_id").cloned().into_iter();
        let all: Vec<Json> = end.chain([json!(turn)]).collect();
        generation.insert("eos_token_id".into(), all.into());
    }
    config.insert("architectures".into(), json!([architecture(&config)]));
    config.insert("dtype".into(), "float32".into());
    write_json(&folder.join("config.json"), &config)?;
    write_json(&folder.join("generation_config.json"), &generation)?;
    let warnings = tokenizer::to_folder(&file, folder).map_err(at)?;
    let tensors = arrays.len();
    Ok(Imported { architecture: arch.name().into(), tensors, parameters, left_over, warnings })
}

fn architecture(config: &Map<String, Json>) -> &'static str {
    match config.get("model_type").and_then(Json::as_str).unwrap_or_default() {
        "gemma3_text" => "Gemma3ForCausalLM",
        "gpt2" => "GPT2LMHeadModel",
        "mistral" => "MistralForCausalLM",
        "qwen2" => "Qwen2ForCausalLM",
        "qwen3" => "Qwen3ForCausalLM",
        _ => "LlamaForCausalLM",
    }
}

/// `attention_bias` asks for four biases; a converter leaves out those that are zero.
fn fill_biases(
    config: &Map<String, Json>,
    arrays: &mut Vec<(String, Vec<usize>, Vec<f32>)>,
    tensors: &[TensorInfo],
) {
    if config.get("attention_bias") != Some(&Json::Bool(true)) {
        return;
    }
    let weights: Vec<(String, usize)> = arrays
        .iter()
        .filter(|(name, shape, _)| {
            name.ends_with("_proj.weight") && name.contains("self_attn") && shape.len() == 2
        })
        .map(|(name, shape, _)| (name.replace(".weight", ".bias"), shape[0]))
        .collect();
    debug_assert!(weights.len() <= tensors.len());
    for (name, rows) in weights {
        if !arrays.iter().any(|a| a.0 == name) {
            arrays.push((name, vec![rows], vec![0.0; rows]));
        }
    }
}
