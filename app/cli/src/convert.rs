//! Import and export: a checked copy of a Hugging Face folder.

use std::path::{Path, PathBuf};

use athanor_models::{Model, Pass};
use athanor_store::{Error, Result, StagedDir, read_json, write_json};
use athanor_tensor::Graph;
use athanor_text::{ChatTemplate, Tokenizer};
use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    model_path::{self, Want},
    out,
};

/// Copies the model of the folder `source` to `destination`: loaded, checked, written, read back.
///
/// # Errors
/// Input: no Hugging Face model, one with damaged weights or a tokenizer that does not fit, or a
/// destination that exists (unless `force`). Failed: the copy is not the same.
pub fn convert(context: &Context, source: &Path, destination: &Path, force: bool) -> Result<()> {
    free(destination, force)?;
    if std::fs::canonicalize(destination)
        .is_ok_and(|d| std::fs::canonicalize(source).is_ok_and(|s| s.starts_with(&d)))
    {
        return Err(Error::input("the source is in the destination").at(destination.display()));
    }
    context.set_threads();
    let dir = model_path::resolve(context, source, Want::Any)?;
    let mut model = model_path::open(context, &dir)?;
    check(&model).map_err(|e| e.at(dir.display()))?;
    let known = ["tokenizer.json", "vocab.txt"];
    let tokenizer = match known.iter().any(|name| dir.join(name).is_file()) {
        true => Some(Tokenizer::load(&dir)?),
        false => {
            context.session.console.warn("no tokenizer.json: the copy cannot read or write text");
            None
        }
    };
    if let Some(tokenizer) = &tokenizer {
        athanor_serving::check_vocabulary(tokenizer, &model, &dir)?;
    }
    let before = probe(&model);
    model.add_saved_heads(&dir)?;
    let parameters: usize = model.params.iter().map(|p| p.value.len()).sum();
    let tensors = model.params.iter().count();

    let staged = StagedDir::new(destination)?;
    model.save(staged.path())?;
    drop(model);
    generation(&dir, staged.path())?;
    sentence_modules(&dir, staged.path())?;
    if let Some(tokenizer) = &tokenizer {
        tokenizer.save(staged.path())?;
        if athanor_serving::has_template(&dir) {
            ChatTemplate::load(&dir)?.save(staged.path())?;
        }
    }
    let same = before == probe(&Model::load(staged.path(), context.device())?);
    if !same {
        return Err(Error::failed("the copy gives other logits than the original")
            .at(destination.display())
            .hint("nothing was written; please report this with the model's config.json"));
    }
    staged.commit()?;
    if context.json {
        return out::json(&json!({
            "source": dir, "destination": destination, "tensors": tensors,
            "parameters": parameters, "tokenizer": tokenizer.is_some(),
        }));
    }
    out::line(&format!(
        "{}: {parameters} parameters in {tensors} tensors, checked",
        destination.display()
    ))
}

/// Fails if the destination exists, unless `force`.
///
/// # Errors
/// Input.
pub fn free(destination: &Path, force: bool) -> Result<()> {
    if !destination.exists() || force {
        return Ok(());
    }
    let what = if destination.is_dir() { "folder" } else { "file" };
    Err(Error::input(format!("this {what} exists already"))
        .at(destination.display())
        .hint("choose another one, or replace it with --force"))
}

/// Fails for weights that are no numbers.
///
/// # Errors
/// Input, naming the tensor.
pub fn check(model: &Model) -> Result<()> {
    for p in model.params.iter() {
        if let Some(at) = p.value.to_vec().iter().position(|v| !v.is_finite()) {
            return Err(Error::input(format!("value {at} is NaN or infinite"))
                .at(format!("tensor {}", p.name))
                .hint("the weights are damaged; download them again"));
        }
    }
    Ok(())
}

/// Bits of the scores of a few tokens.
fn probe(model: &Model) -> Vec<u32> {
    let sizes = model.sizes();
    let time = sizes.context.min(8);
    let ids = (0..time).map(|i| (i * 7919 % sizes.vocabulary) as i32).collect();
    let input = model.input(ids, 1, time);
    let graph = Graph::inference(&model.params);
    let hidden = model.hidden(&mut Pass::new(&graph, &input));
    let last = model.rows(&hidden, vec![time as i32 - 1]);
    let out = model.logits(&graph, &last);
    out.value().to_vec().into_iter().map(f32::to_bits).collect()
}

/// What sentence-transformers keeps beside a model: how hidden states become vectors.
fn sentence_modules(from: &Path, to: &Path) -> Result<()> {
    let listing = from.join("modules.json");
    if !listing.is_file() {
        return Ok(());
    }
    let modules: Vec<Value> = read_json(&listing)?;
    let paths = modules.iter().filter_map(|m| m["path"].as_str());
    let inner = |p: &&str| !p.is_empty() && Path::new(p).components().count() == 1 && *p != "..";
    let folders: Vec<&str> = paths.filter(inner).collect();
    let mut files = vec![PathBuf::from("modules.json")];
    for name in ["sentence_bert_config.json", "config_sentence_transformers.json"] {
        files.push(name.into());
    }
    for folder in folders {
        let target = to.join(folder);
        std::fs::create_dir_all(&target).map_err(|e| Error::io("create", &target, e))?;
        for name in ["config.json", "model.safetensors"] {
            files.push(Path::new(folder).join(name));
        }
    }
    for file in files.iter().filter(|f| from.join(f).is_file()) {
        let target = to.join(file);
        std::fs::copy(from.join(file), &target).map_err(|e| Error::io("write", &target, e))?;
    }
    Ok(())
}

/// The original's generation settings over ours.
fn generation(from: &Path, to: &Path) -> Result<()> {
    const FILE: &str = "generation_config.json";
    if !from.join(FILE).is_file() {
        return Ok(());
    }
    let mut settings: Map<String, Value> = read_json(&to.join(FILE))?;
    settings.extend(read_json::<Map<String, Value>>(&from.join(FILE))?);
    write_json(&to.join(FILE), &settings)
}
