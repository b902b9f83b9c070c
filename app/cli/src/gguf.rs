//! GGUF files: import and export, checked.

use std::path::Path;

use athanor_gguf::{Exported, File, Imported, Type};
use athanor_models::{Head, Model};
use athanor_store::{Error, Result, StagedDir};
use athanor_text::{ChatTemplate, Tokenizer};
use serde_json::json;

use crate::{
    context::Context,
    convert,
    model_path::{self, Want},
    out,
};

/// Whether a path names a GGUF file.
pub fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
}

/// Writes the folder `destination` from a GGUF file; the result is opened before it takes its name.
///
/// # Errors
/// Input: a damaged file, what we do not read, a destination that exists (unless `force`).
pub fn import(context: &Context, source: &Path, destination: &Path, force: bool) -> Result<()> {
    convert::free(destination, force)?;
    context.set_threads();
    let staged = StagedDir::new(destination)?;
    let Imported { architecture, tensors, parameters, left_over, warnings } =
        athanor_gguf::import(source, staged.path())?;
    for warning in &warnings {
        context.session.console.warn(warning);
    }
    if !left_over.is_empty() {
        let list = left_over.join(", ");
        context.session.console.warn(&format!("tensors that the model has no place for: {list}"));
    }
    // Errors name the file, not the folder that is going to be.
    let open = || {
        let model = Model::load(staged.path(), context.device())?;
        convert::check(&model)?;
        let has = staged.path().join("tokenizer.json").is_file();
        if has {
            athanor_serving::check_vocabulary(&Tokenizer::load(staged.path())?, &model, source)?;
        }
        if athanor_serving::has_template(staged.path()) {
            ChatTemplate::load(staged.path())?;
        }
        Ok(has)
    };
    let tokenizer = open().map_err(|e: Error| e.at(source.display()))?;
    staged.commit()?;
    if context.json {
        return out::json(&json!({
            "source": source, "destination": destination, "architecture": architecture,
            "tensors": tensors, "parameters": parameters, "tokenizer": tokenizer,
            "left_over": left_over, "warnings": warnings,
        }));
    }
    out::line(&format!(
        "{}: {architecture}, {parameters} parameters in {tensors} tensors, checked",
        destination.display()
    ))
}

/// Writes the model of the folder `source` as a GGUF file with matrices of type `kind`.
///
/// # Errors
/// Input: a type, model or tokenizer that GGUF has no like of, a destination that exists (unless
/// `force`).
pub fn export(
    context: &Context,
    source: &Path,
    destination: &Path,
    kind: &str,
    force: bool,
) -> Result<()> {
    convert::free(destination, force)?;
    let kind = Type::by_name(kind).filter(|k| Type::WRITTEN.contains(k)).ok_or_else(|| {
        Error::input(format!("--type {kind} is not written")).hint("known: f32, f16, bf16, q8_0")
    })?;
    context.set_threads();
    let dir = model_path::resolve(context, source, Want::Writer)?;
    let model = model_path::open(context, &dir)?;
    if model.head() != Head::CAUSAL_LM {
        return Err(
            Error::input("this model scores texts, it does not write any").at(dir.display())
        );
    }
    convert::check(&model).map_err(|e| e.at(dir.display()))?;
    athanor_serving::check_vocabulary(&Tokenizer::load(&dir)?, &model, &dir)?;
    drop(model);
    let name = destination.file_stem().map_or("model".into(), |s| s.to_string_lossy());
    let Exported { architecture, tensors, parameters, fallbacks } =
        athanor_gguf::export(&dir, destination, kind, &name)?;
    if fallbacks > 0 {
        context.session.console.warn(&format!(
            "{fallbacks} matrices are written as F16: their rows are no multiple of {}",
            kind.block()
        ));
    }
    // What was written is what a reader finds.
    let found = File::open(destination)?.tensors.len();
    if found != tensors {
        return Err(Error::failed(format!("{tensors} tensors were written, {found} are read"))
            .at(destination.display()));
    }
    if context.json {
        return out::json(&json!({
            "source": dir, "destination": destination, "architecture": architecture,
            "tensors": tensors, "parameters": parameters, "type": kind.name(),
        }));
    }
    out::line(&format!(
        "{}: {architecture}, {parameters} parameters in {tensors} tensors, {}",
        destination.display(),
        kind.name()
    ))
}
