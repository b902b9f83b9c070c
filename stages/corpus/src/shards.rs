//! Token ids into shards, mixed as the recipe says.

use std::path::Path;

use athanor_data::{ShardWriter, Split};
use athanor_store::Result;
use athanor_text::SpecialTokens;

use crate::{
    Account, CorpusSection,
    account::{Histogram, Tokens},
    cache::Cache,
    clean::kept::Kept,
    ids::{Encoded, Ids, read},
    mix::{Mix, Shuffler},
    tokenizer::Made,
};

/// Writes the ids into shards in `folder`, mixed as the recipe says, and enters the figures into the account.
pub(crate) fn shards(
    cache: &Cache,
    section: &CorpusSection,
    kept: &[Kept],
    keys: &[String],
    made: &Made,
    folder: &Path,
    account: &mut Account,
) -> Result<()> {
    let tokenizer = &made.tokenizer;
    let end = match tokenizer.document_end_id() {
        Some(id) => id,
        None => tokenizer.require(SpecialTokens::END_OF_TEXT)?,
    };
    // Ids may have gaps in foreign tokenisers: the last id decides.
    let size = tokenizer.vocab_size();
    let mut writer =
        ShardWriter::new(folder, size, &made.sha256, end)?.shard_tokens(section.shard_tokens);
    account.lengths = Histogram::default();
    account.tokens = Tokens::default();
    account.vocab_size = size;
    let mut once = 0;
    for key in keys {
        let encoded: Encoded = cache.read(key)?;
        account.lengths.merge(&encoded.lengths);
        once += encoded.once;
    }
    let documents = |each: &mut dyn FnMut(usize, Ids) -> Result<()>| -> Result<()> {
        for (unit, key) in kept.iter().zip(keys) {
            for ids in read(&cache.path(key, "ids"))? {
                each(unit.source, ids?)?;
            }
            cache.run.interrupt.check()?;
        }
        Ok(())
    };
    let mut mix = Mix::new(section, cache.run.seed);
    if mix.counts() {
        documents(&mut |source, ids| {
            mix.count(source, &ids);
            Ok(())
        })?;
    }
    mix.decide();
    let bar = cache.run.console.bar("shards", once, "tokens");
    let mut done = 0;
    let mut add = |source: usize, split: Split, ids: &[u32]| -> Result<()> {
        let added = writer.add(split, ids)?;
        account.sources[source].tokens += added;
        match split {
            Split::Train => account.tokens.train += added,
            Split::Validation | Split::Heldout => account.tokens.heldout += added,
        }
        if (done + added) >> 16 > done >> 16 {
            bar.set(done);
        }
        done += added;
        Ok(())
    };
    let mut number = 0;
    if section.mix.shuffle || mix.counts() {
        let mut shuffler = Shuffler::new(cache.run.seed, once * 4, &folder.join(".shuffle"))?;
        documents(&mut |source, ids| {
            if ids.heldout {
                add(source, Split::Heldout, &ids.ids)?;
            } else {
                for copy in 0..mix.copies(source, &ids, number) {
                    shuffler.add(number, copy, source, &ids.ids)?;
                }
            }
            number += 1;
            Ok(())
        })?;
        shuffler.finish(|source, ids| add(source, Split::Train, ids))?;
    } else {
        documents(&mut |source, ids| {
            let (split, copies) = match ids.heldout {
                true => (Split::Heldout, 1),
                false => (Split::Train, mix.copies(source, &ids, number)),
            };
            number += 1;
            (0..copies).try_for_each(|_| add(source, split, &ids.ids))
        })?;
    }
    writer.finish()?;
    account.mix = mix.account();
    let total: u64 = account.sources.iter().map(|s| s.kept_bytes).sum();
    account.bytes_per_token = total as f64 / once.max(1) as f64;
    bar.finish(&format!(
        "{} tokens, {:.2} bytes a token",
        account.tokens.train + account.tokens.heldout,
        account.bytes_per_token
    ));
    Ok(())
}
