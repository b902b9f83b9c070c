//! Versions and hashes: what made this run, and how to tell that its files are still the same.

use super::{flatten, prelude::*};
use crate::hashes::hashes;

pub fn view(run: &RunFiles) -> Option<Value> {
    let mut facts = Vec::new();
    flatten("", &run.manifest, &["stages"], &mut facts);
    let stages = run.stages.iter().filter(|s| !s.done.is_null()).map(|stage| {
        let record = run.manifest.get("stages").and_then(|s| s.get(stage.name));
        let fingerprint = stage.done.get("fingerprint");
        let inputs = fingerprint.and_then(|f| f.get("inputs")).map(hashes);
        view! {
            name => stage.name,
            fingerprint => words(record.and_then(|r| r.get("hash")).or(fingerprint.filter(|f| f.is_string()))),
            inputs => inputs.unwrap_or_default(),
            files => hashes(&stage.done),
        }
    });
    Some(view! { facts => facts, notes => run.notes, stages => stages.collect::<Vec<_>>() })
}
