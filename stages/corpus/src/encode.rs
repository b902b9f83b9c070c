//! Kept text → tokeniser → ids → shards.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use athanor_data::{ShardWriter, Split, splitmix64};
use athanor_store::{Error, Result, Run, StagedDir, durable::write_atomic_with, sha256_file};
use athanor_text::{SpecialTokens, Tokenizer, Training};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Account, CorpusSection,
    account::{Histogram, Tokens},
    clean::Kept,
    mix::{Mix, Shuffler},
    spool,
    steps::language,
    work::{self, Work},
};

/// Text encoded at once.
const BATCH_BYTES: usize = 8 << 20;

/// A tokeniser and the hash of its tokenizer.json.
pub(crate) struct Made {
    pub(crate) tokenizer: Tokenizer,
    pub(crate) sha256: String,
}

/// Makes or loads the tokeniser.
pub(crate) fn tokenizer(
    work: &Work,
    section: &CorpusSection,
    kept: &[Kept],
    train_bytes: u64,
    loaded: Option<&str>,
) -> Result<Made> {
    let settings = &section.tokenizer;
    let keys: Vec<&String> = kept.iter().map(|k| &k.key).collect();
    let key = match loaded {
        Some(hash) => work::key(&json!(["tokenizer", hash])),
        None => work::key(&json!(["tokenizer", settings, keys])),
    };
    let folder = work.path(&key, "tokenizer");
    work.all(std::slice::from_ref(&key), |_| {
        let made = match &settings.load {
            Some(path) => Tokenizer::load(work.run.recipe.resolve(path))?,
            None => train(work.run, section, kept, train_bytes)?,
        };
        let staged = StagedDir::new(&folder)?;
        made.save(staged.path())?;
        staged.commit()?;
        work.finish(&key, &json!({}))
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
    stop_if_asked(run)?;
    trained
}

/// What encoding made of a unit.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Encoded {
    /// Documents by their number of tokens.
    lengths: Histogram,
    /// Tokens, closing ones included, each document once.
    once: u64,
}

/// A document as ids.
pub(crate) struct Ids {
    pub(crate) heldout: bool,
    pub(crate) language: &'static str,
    pub(crate) quality: Option<f32>,
    pub(crate) ids: Vec<u32>,
}

/// Encodes the kept documents, each unit into a file of its own. Returns the units' keys.
pub(crate) fn encode(work: &Work, kept: &[Kept], made: &Made, total: u64) -> Result<Vec<String>> {
    let key = |k: &Kept| work::key(&json!(["ids", k.key, made.sha256]));
    let keys: Vec<String> = kept.iter().map(key).collect();
    let bar = work.run.console.bar("tokenise", total, "bytes");
    let mut done = 0;
    work.all(&keys, |n| {
        let path = work.path(&keys[n], "ids");
        let mut encoded = Encoded { lengths: Histogram::doubling(), once: 0 };
        write_atomic_with(&path, |out| {
            let mut documents = spool::read(&kept[n].path)?;
            loop {
                stop_if_asked(work.run)?;
                let mut batch = Vec::new();
                let mut bytes = 0;
                while bytes < BATCH_BYTES {
                    let Some(document) = documents.next().transpose()? else { break };
                    bytes += document.text.len();
                    batch.push(document);
                }
                if batch.is_empty() {
                    return Ok(());
                }
                // Encoding takes some hundred bytes for one of text: long texts go piece by piece.
                let mut pieces: Vec<&str> = Vec::new();
                let mut counts = Vec::new();
                for document in &batch {
                    let own = pieces_of(&made.tokenizer, &document.text)?;
                    counts.push(own.len());
                    pieces.extend(own);
                }
                let mut ids = made.tokenizer.encode_batch(&pieces)?.into_iter();
                for (document, count) in batch.iter().zip(counts) {
                    let ids: Vec<u32> = ids.by_ref().take(count).flatten().collect();
                    encoded.once += ids.len() as u64 + 1;
                    encoded.lengths.add(ids.len() as u64);
                    let ids = Ids {
                        heldout: document.heldout,
                        language: document.language,
                        quality: document.quality,
                        ids,
                    };
                    ids.write(out).map_err(|e| Error::io("write", &path, e))?;
                }
                done += bytes as u64;
                bar.set(done);
            }
        })?;
        work.finish(&keys[n], &encoded)
    })?;
    bar.finish(&format!("{done} bytes encoded"));
    Ok(keys)
}

/// A text to train on in parts, where it is long: a text without line ends would otherwise be split into
/// words as a whole. Cut behind a line's end or before a space, where words end anyway.
fn parts_of(text: String) -> Vec<String> {
    if text.len() <= 2 * PIECE_BYTES {
        return vec![text];
    }
    let mut out = Vec::new();
    let mut rest = text.as_str();
    while rest.len() > 2 * PIECE_BYTES {
        let window = &rest.as_bytes()[PIECE_BYTES..PIECE_BYTES + (PIECE_BYTES >> 4)];
        let cut = |first: fn(u8) -> bool, second: fn(u8) -> bool| {
            window.windows(2).position(|w| first(w[0]) && second(w[1])).map(|n| PIECE_BYTES + n + 1)
        };
        let at = cut(|a| a == b'\n', |b| b.is_ascii_alphanumeric())
            .or_else(|| cut(|a| a.is_ascii_alphanumeric(), |b| b == b' '));
        let Some(at) = at.filter(|&at| rest.is_char_boundary(at)) else { break };
        let (part, tail) = rest.split_at(at);
        out.push(part.to_string());
        rest = tail;
    }
    out.push(rest.to_string());
    out
}

/// A longer text is encoded in pieces of about this many bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes on each side of a cut by which it is seen that it changes nothing.
const AROUND: usize = 512;
/// Places tried for a cut.
const TRIED: usize = 16;

/// A text in pieces whose ids make up the whole's: cut before a line's end or a space where what is around it has the
/// same ids in one and in two. Where no such place is found the rest is one piece.
fn pieces_of<'a>(tokenizer: &Tokenizer, text: &'a str) -> Result<Vec<&'a str>> {
    let mut out = Vec::new();
    let mut rest = text;
    'next: while rest.len() > 2 * PIECE_BYTES {
        let near = |at: usize| (at..=rest.len()).find(|&n| rest.is_char_boundary(n));
        let from = near(PIECE_BYTES).unwrap_or(rest.len());
        let to = near((from + (PIECE_BYTES >> 4)).min(rest.len())).unwrap_or(rest.len());
        for space in ['\n', ' '] {
            let window = &rest[from..to];
            let single = |at: usize| {
                let beside = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
                beside(rest[..at].chars().next_back()) && beside(rest[at + 1..].chars().next())
            };
            let places = window.match_indices(space).map(|(n, _)| from + n).filter(|&n| single(n));
            for at in places.take(TRIED) {
                let before = near(at - AROUND).unwrap_or(at);
                let behind = near((at + AROUND).min(rest.len())).unwrap_or(rest.len());
                let mut apart = tokenizer.encode(&rest[before..at])?;
                apart.extend(tokenizer.encode(&rest[at..behind])?);
                if apart == tokenizer.encode(&rest[before..behind])? {
                    out.push(&rest[..at]);
                    rest = &rest[at..];
                    continue 'next;
                }
            }
        }
        break;
    }
    out.push(rest);
    Ok(out)
}

impl Ids {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(16 + 4 * self.ids.len());
        bytes.extend(u32::from(self.heldout).to_le_bytes());
        bytes.extend(self.quality.unwrap_or(f32::NAN).to_le_bytes());
        let mut language = [0; 4];
        for (to, from) in language.iter_mut().zip(self.language.bytes()) {
            *to = from;
        }
        bytes.extend(language);
        bytes.extend((self.ids.len() as u32).to_le_bytes());
        self.ids.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
        out.write_all(&bytes)
    }
}

/// Reads a unit's ids.
fn read(path: &Path) -> Result<impl Iterator<Item = Result<Ids>> + use<>> {
    let fail = |path: &Path, e| Error::io("read", path, e);
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(|e| fail(path, e))?);
    let path = path.to_path_buf();
    let mut one = move || -> io::Result<Option<Ids>> {
        let mut header = [0; 16];
        match file.read_exact(&mut header) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let word = |n: usize| {
            header[4 * n..4 * n + 4].iter().rev().fold(0u32, |w, &b| w << 8 | u32::from(b))
        };
        let code: Vec<u8> = header[8..12].iter().copied().filter(|b| *b > 0).collect();
        let mut bytes = vec![0; 4 * word(3) as usize];
        file.read_exact(&mut bytes)?;
        Ok(Some(Ids {
            heldout: word(0) == 1,
            language: language::known(&String::from_utf8_lossy(&code)),
            quality: Some(f32::from_bits(word(1))).filter(|q| !q.is_nan()),
            ids: bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect(),
        }))
    };
    Ok(std::iter::from_fn(move || one().map_err(|e| fail(&path, e)).transpose()))
}

/// Writes the ids into shards in `folder`, mixed as the recipe says, and enters the figures into the account.
pub(crate) fn shards(
    work: &Work,
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
        let encoded: Encoded = work.read(key)?;
        account.lengths.merge(&encoded.lengths);
        once += encoded.once;
    }
    let documents = |each: &mut dyn FnMut(usize, Ids) -> Result<()>| -> Result<()> {
        for (unit, key) in kept.iter().zip(keys) {
            for ids in read(&work.path(key, "ids"))? {
                each(unit.source, ids?)?;
            }
            stop_if_asked(work.run)?;
        }
        Ok(())
    };
    let mut mix = Mix::new(section, work.run.seed);
    if mix.counts() {
        documents(&mut |source, ids| {
            mix.count(source, &ids);
            Ok(())
        })?;
    }
    mix.decide();
    let bar = work.run.console.bar("shards", once, "tokens");
    let mut done = 0;
    let mut add = |source: usize, split: Split, ids: &[u32]| -> Result<()> {
        let added = writer.add(split, ids)?;
        account.sources[source].tokens += added;
        match split {
            Split::Train => account.tokens.train += added,
            Split::Heldout => account.tokens.heldout += added,
        }
        if (done + added) >> 16 > done >> 16 {
            bar.set(done);
        }
        done += added;
        Ok(())
    };
    let mut number = 0;
    if section.mix.shuffle || mix.counts() {
        let mut shuffler = Shuffler::new(work.run.seed, once * 4, &folder.join(".shuffle"))?;
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

/// # Errors
/// Interrupted, if the user asked to stop.
pub(crate) fn stop_if_asked(run: &Run) -> Result<()> {
    if run.interrupt.is_set() {
        return Err(Error::interrupted("stopped while making the corpus")
            .hint("run the same command again: it goes on with the file where it was stopped"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use athanor_text::ALGORITHMS;

    #[test]
    fn long_texts_have_the_same_ids_in_pieces() {
        let words = ["the", " kiln", "\n\nIt", " was", ", ", "春風", "12", "\nopen", "  and", "'s"];
        let long: String = (0..700_000u64).map(|n| words[(splitmix64(n) % 10) as usize]).collect();
        assert!(long.len() > 2 * PIECE_BYTES);
        for name in ["byte_bpe", "wordpiece", "unigram"] {
            let algorithm = ALGORITHMS.find(name).unwrap();
            let training = Training {
                vocab_size: 400,
                lowercase: false,
                specials: algorithm.specials("").unwrap(),
            };
            let mut some = std::iter::once(long.chars().take(10_000).collect());
            let tokenizer = algorithm.train(&mut some, &training).unwrap();
            let pieces = pieces_of(&tokenizer, &long).unwrap();
            assert_eq!(pieces.concat(), long, "{name}");
            let ids = tokenizer.encode_batch(&pieces).unwrap().concat();
            assert!(ids == tokenizer.encode(&long).unwrap(), "{name}");
            println!("{name}: {} pieces", pieces.len());
            assert!(name != "byte_bpe" || pieces.len() > 1);
        }
        assert_eq!(parts_of(long.clone()).concat(), long);
        assert!(parts_of("one two ".repeat(500_000)).len() > 2);
        // No place to cut.
        let tokenizer = ALGORITHMS.find("byte_bpe").unwrap();
        let training = Training {
            vocab_size: 300,
            lowercase: false,
            specials: tokenizer.specials("").unwrap(),
        };
        let mut some = std::iter::once("ab".to_string());
        let tokenizer = tokenizer.train(&mut some, &training).unwrap();
        assert_eq!(pieces_of(&tokenizer, &"x".repeat(2 * PIECE_BYTES + 1)).unwrap().len(), 1);
    }
}
