//! Hugging Face folders.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use athanor_store::{ArrayFile, Error, Result, read_json, save_arrays, write_json};
use athanor_tensor::{Device, Tensor};
use serde_json::{Map, Value, json};

use crate::host::HostTensors;

/// The file of a model's tensors.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// A config.json above this is none: a tree of JSON takes some twenty times its text.
const LARGEST_CONFIG: u64 = 1 << 20;

pub(crate) fn read_config(dir: &Path) -> Result<Map<String, Value>> {
    let path = dir.join("config.json");
    let size = std::fs::metadata(&path).map_or(0, |m| m.len());
    if size > LARGEST_CONFIG {
        return Err(Error::input(format!("{size} bytes, at most {LARGEST_CONFIG} are read"))
            .at(path.display()));
    }
    let hint = "a model folder holds config.json, model.safetensors and tokenizer.json";
    let value: Value = read_json(&path).map_err(|e| e.hint(hint))?;
    match value {
        Value::Object(map) => Ok(map),
        other => {
            Err(Error::input(format!("an object was expected, found {other}")).at(path.display()))
        }
    }
}

/// A model's tensors by name, each read when it is asked for, so that no weight is in memory twice.
pub struct Stored {
    /// With their names in the folder.
    files: Vec<(String, ArrayFile)>,
    places: HashMap<String, Location>,
}

/// Where a tensor is: which file, and which of its arrays.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub shape: Vec<usize>,
    file: usize,
    array: usize,
}

impl Stored {
    fn of(files: Vec<(String, ArrayFile)>) -> Self {
        let mut places = HashMap::new();
        for (file, (_, arrays)) in files.iter().enumerate() {
            for (array, info) in arrays.index().enumerate() {
                // Masks and counters that old exports carry along are integers.
                if !arrays.is_integer(array) {
                    let place = Location { shape: info.shape, file, array };
                    places.insert(current_name(info.name), place);
                }
            }
        }
        Self { files, places }
    }

    /// Whether it holds this one.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Where this one is; it is not there afterwards.
    pub(crate) fn take(&mut self, name: &str) -> Option<Location> {
        self.places.remove(name)
    }

    /// Those that were not taken.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.places.keys()
    }

    /// Reads one.
    pub(crate) fn read(&self, device: Device, place: &Location) -> Result<Tensor> {
        let (name, file) = &self.files[place.file];
        Tensor::filled(device, &place.shape[..], |out| file.read_floats(place.array, out))
            .map_err(|e| e.at(name))
    }
}

pub(crate) fn open_tensors(dir: &Path) -> Result<Stored> {
    let index = dir.join("model.safetensors.index.json");
    let mut files = vec![WEIGHTS.to_owned()];
    if index.exists() {
        let listing: Value = read_json(&index)?;
        let names: std::collections::BTreeSet<&str> = listing["weight_map"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, f)| f.as_str())
            .collect();
        if let Some(bad) = names.iter().find(|n| Path::new(n).components().count() != 1) {
            return Err(
                Error::input(format!("file name {bad:?} leaves the folder")).at(index.display())
            );
        }
        files = names.into_iter().map(str::to_owned).collect();
    }
    let files = (files.into_iter())
        .map(|name| ArrayFile::open(&dir.join(&name)).map(|file| (name, file)))
        .collect::<Result<Vec<_>>>()?;
    Ok(Stored::of(files))
}

/// The tensors of one file.
pub(crate) fn open_file(path: &Path) -> Result<Stored> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Stored::of(vec![(name, ArrayFile::open(path)?)]))
}

/// Layer norms of models that came from TensorFlow have gamma and beta.
fn current_name(name: String) -> String {
    for (old, new) in
        [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")]
    {
        if let Some(stem) = name.strip_suffix(old) {
            return format!("{stem}{new}");
        }
    }
    name
}

/// Writes a file of tensors.
pub(crate) fn write_tensors<'t>(
    path: &Path,
    tensors: impl Iterator<Item = (String, &'t Tensor)>,
) -> Result<()> {
    save_arrays(path, &HostTensors::new(tensors).arrays(), &BTreeMap::new())
}

/// Writes config.json and generation_config.json.
pub(crate) fn write_config(dir: &Path, config: &Map<String, Value>) -> Result<()> {
    write_json(&dir.join("config.json"), config)?;
    let mut generation = json!({ "do_sample": true });
    for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        if let Some(id) = config.get(key) {
            generation[key] = id.clone();
        }
    }
    write_json(&dir.join("generation_config.json"), &generation)
}
