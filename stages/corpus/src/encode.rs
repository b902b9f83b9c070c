//! Kept text → tokeniser → shards.

use std::path::Path;

use athanor_data::{ShardWriter, Split, splitmix64};
use athanor_store::{Error, Result, Run, sha256_file};
use athanor_text::{Algorithm, SpecialTokens, Tokenizer, Training};

use crate::{
    Account, CorpusSection,
    account::{Histogram, Tokens},
    spool,
};

/// Text encoded at once.
const BATCH_BYTES: usize = 8 << 20;

/// Makes or loads the tokeniser, and saves it to `folder/tokenizer`.
pub(crate) fn tokenizer(
    run: &Run,
    section: &CorpusSection,
    kept: &Path,
    train_bytes: u64,
    folder: &Path,
) -> Result<Tokenizer> {
    let settings = &section.tokenizer;
    let tokenizer = match &settings.load {
        Some(path) => Tokenizer::load(run.recipe.resolve(path))?,
        None => {
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
            let texts = spool::read(kept)?
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
                .map(|(d, _)| d.text);
            let algorithm = Algorithm::by_name(&settings.kind)?;
            let training = Training {
                vocab_size: settings.vocab_size,
                lowercase: settings.lowercase,
                specials: algorithm.specials(&settings.special_tokens)?,
            };
            let mut texts = texts;
            let trained = algorithm.train(&mut texts, &training);
            drop(texts);
            if let Some(e) = failed {
                return Err(e);
            }
            stop_if_asked(run)?;
            trained?
        }
    };
    let target = folder.join("tokenizer");
    std::fs::create_dir_all(&target).map_err(|e| Error::io("create", &target, e))?;
    tokenizer.save(&target)?;
    Ok(tokenizer)
}

/// Encodes the kept documents into shards in `folder` and enters the figures into the account.
pub(crate) fn shards(
    run: &Run,
    section: &CorpusSection,
    kept: &Path,
    tokenizer: &Tokenizer,
    folder: &Path,
    account: &mut Account,
) -> Result<()> {
    let end = match tokenizer.document_end_id() {
        Some(id) => id,
        None => tokenizer.require(SpecialTokens::END_OF_TEXT)?,
    };
    // Ids may have gaps in foreign tokenisers: the last id decides.
    let size = tokenizer.vocab_size();
    let hash = sha256_file(&folder.join("tokenizer/tokenizer.json"))?;
    let mut writer = ShardWriter::new(folder, size, &hash, end)?.shard_tokens(section.shard_tokens);
    let total: u64 = account.sources.iter().map(|s| s.kept_bytes).sum();
    let bar = run.console.bar("tokenise", total, "bytes");
    account.lengths = Histogram::doubling();
    account.tokens = Tokens::default();
    account.vocab_size = size;
    let (mut done, mut once) = (0u64, 0u64);
    let mut documents = spool::read(kept)?;
    loop {
        stop_if_asked(run)?;
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let Some(document) = documents.next().transpose()? else { break };
            bytes += document.text.len();
            batch.push(document);
        }
        if batch.is_empty() {
            break;
        }
        let texts: Vec<&str> = batch.iter().map(|d| d.text.as_str()).collect();
        let ids = tokenizer.encode_batch(&texts)?;
        for (document, ids) in batch.iter().zip(&ids) {
            let source = &mut account.sources[document.source];
            let (split, times) = match document.heldout {
                true => (Split::Heldout, 1),
                false => (Split::Train, section.sources[document.source].repeat),
            };
            for _ in 0..times {
                let added = writer.add(split, ids)?;
                source.tokens += added;
                match split {
                    Split::Train => account.tokens.train += added,
                    Split::Heldout => account.tokens.heldout += added,
                }
            }
            once += ids.len() as u64 + 1;
            account.lengths.add(ids.len() as u64);
        }
        done += bytes as u64;
        bar.set(done);
    }
    writer.finish()?;
    account.bytes_per_token = total as f64 / once.max(1) as f64;
    bar.finish(&format!(
        "{} tokens, {:.2} bytes a token",
        account.tokens.train + account.tokens.heldout,
        account.bytes_per_token
    ));
    Ok(())
}

/// # Errors
/// Interrupted, if the user asked to stop.
pub(crate) fn stop_if_asked(run: &Run) -> Result<()> {
    if run.interrupt.is_set() {
        return Err(Error::interrupted("stopped while making the corpus")
            .hint("run the same command again: this stage begins anew, it has no checkpoints"));
    }
    Ok(())
}
