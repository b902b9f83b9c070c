//! A recipe: TOML behind one `--set` on the first line.
#![no_main]

use athanor_corpus::{CorpusSection, STAGE};
use athanor_fuzz::bounded;
use athanor_store::Recipe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (set, text) = text.split_once('\n').unwrap_or(("", text));
    let sets: Vec<String> = (!set.is_empty()).then(|| set.into()).into_iter().collect();
    // A tree of TOML takes some hundred bytes a key, and recipes are small.
    bounded(64 * data.len(), 1 << 20, || {
        let Ok(recipe) = Recipe::parse("r.toml", text, &sets) else { return };
        let _ = recipe.check_names(&[("corpus", STAGE.keys)]);
        if let Ok(section) = recipe.section::<CorpusSection>("corpus") {
            let _ = (STAGE.check_files)(&recipe, std::path::Path::new("/nonexistent"));
            let json = athanor_store::recipe::json(&section);
            let _ = Recipe::resolved(&[("corpus", json)]);
        }
    });
});
