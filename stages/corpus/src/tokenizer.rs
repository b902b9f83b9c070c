//! The tokeniser of a corpus: loaded, or trained on the kept text.

use athanor_data::splitmix64;
use athanor_store::{Result, Run, StagedDir, sha256_file};
use athanor_text::{Tokenizer, Training};
use serde_json::json;

use crate::{
    CorpusSection,
    cache::{self, Cache},
    clean::kept::Kept,
    pieces::parts_of,
    spool,
};

/// A tokeniser and the hash of its tokenizer.json.
pub(crate) struct Made {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) sha256: String,
}

/// Makes or loads the tokeniser.
pub(crate) fn tokenizer(
    cache: &Cache,
    section: &CorpusSection,
    kept: &[Kept],
    train_bytes: u64,
    loaded: Option<&str>,
) -> Result<Made> {
    let settings = &section.tokenizer;
    let keys: Vec<&String> = kept.iter().map(|k| &k.key).collect();
    let key = match loaded {
        Some(hash) => cache::key(&json!(["tokenizer", hash])),
        None => cache::key(&json!(["tokenizer", settings, keys])),
    };
    let folder = cache.path(&key, "tokenizer");
    cache.all(std::slice::from_ref(&key), |_| {
        let made = match &settings.load {
            Some(path) => Tokenizer::load(cache.run.recipe.resolve(path))?,
            None => train(cache.run, section, kept, train_bytes)?,
        };
        let staged = StagedDir::new(&folder)?;
        made.save(staged.path())?;
        staged.commit()?;
        cache.finish(&key, &json!({}))
    })?;
    let sha256 = sha256_file(&folder.join("tokenizer.json"))?;
    Ok(Made { tokenizer: Tokenizer::load(&folder)?, sha256 })
}

fn train(run: &Run, section: &CorpusSection, kept: &[Kept], train_bytes: u64) -> Result<Tokenizer> {
    let settings = &section.tokenizer;
    run.console.say(&format!(
        "training a tokeniser of {} tokens ({})",
        settings.vocab_size, settings.kind
    ));
    // Each document is taken or not by its number alone.
    let share = match settings.max_bytes {
        0 => 1.0,
        most => most as f64 / train_bytes.max(1) as f64,
    };
    let most = if share >= 1.0 { u64::MAX } else { (share * u64::MAX as f64) as u64 };
    let mut failed = None;
    let mut texts = spool::read_all(kept.iter().map(|k| k.path.clone()).collect())
        .map_while(|document| match document {
            Ok(_) if run.interrupt.is_set() => None,
            Ok(document) => Some(document),
            Err(e) => {
                failed = Some(e);
                None
            }
        })
        .filter(|d| !d.heldout)
        .zip(0u64..)
        .filter(|(_, n)| splitmix64(*n) <= most)
        .flat_map(|(d, _)| parts_of(d.text));
    let algorithm = settings.kind.entry()?;
    let training = Training {
        vocab_size: settings.vocab_size,
        lowercase: settings.lowercase,
        specials: algorithm.specials(&settings.special_tokens)?,
    };
    let trained = algorithm.train(&mut texts, &training);
    drop(texts);
    if let Some(e) = failed {
        return Err(e);
    }
    run.interrupt.check()?;
    trained
}
