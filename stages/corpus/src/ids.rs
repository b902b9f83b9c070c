//! Kept text as token ids, each unit in a file of its own.

use std::{
    io::{self, Read, Write},
    path::Path,
};

use athanor_store::{Error, Result, durable::write_atomic_with};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    account::Histogram,
    cache::{self, Cache},
    clean::kept::Kept,
    pieces::pieces_of,
    spool,
    steps::language,
    tokenizer::Made,
};

/// Text encoded at once.
const BATCH_BYTES: usize = 8 << 20;

/// What encoding made of a unit.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Encoded {
    /// Documents by their number of tokens.
    pub(crate) lengths: Histogram,
    /// Tokens, closing ones included, each document once.
    pub(crate) once: u64,
}

/// A document as ids.
pub(crate) struct Ids {
    pub(crate) heldout: bool,
    pub(crate) language: &'static str,
    pub(crate) quality: Option<f32>,
    pub(crate) ids: Vec<u32>,
}

/// Encodes the kept documents, each unit into a file of its own. Returns the units' keys.
pub(crate) fn encode(cache: &Cache, kept: &[Kept], made: &Made, total: u64) -> Result<Vec<String>> {
    let key = |k: &Kept| cache::key(&json!(["ids", k.key, made.sha256]));
    let keys: Vec<String> = kept.iter().map(key).collect();
    let bar = cache.run.console.bar("tokenise", total, "bytes");
    let mut done = 0;
    cache.all(&keys, |n| {
        let path = cache.path(&keys[n], "ids");
        let mut encoded = Encoded { lengths: Histogram::doubling(), once: 0 };
        write_atomic_with(&path, |out| {
            let mut documents = spool::read(&kept[n].path)?;
            loop {
                cache.run.interrupt.check()?;
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
        cache.finish(&keys[n], &encoded)
    })?;
    bar.finish(&format!("{done} bytes encoded"));
    Ok(keys)
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
pub(crate) fn read(path: &Path) -> Result<impl Iterator<Item = Result<Ids>> + use<>> {
    spool::records(path, |header: &[u8; 16], file| {
        let words = header.as_chunks::<4>().0;
        let word = |n: usize| u32::from_le_bytes(words[n]);
        let code: Vec<u8> = header[8..12].iter().copied().filter(|b| *b > 0).collect();
        let mut bytes = vec![0; 4 * word(3) as usize];
        file.read_exact(&mut bytes)?;
        Ok(Ids {
            heldout: word(0) == 1,
            language: language::known(&String::from_utf8_lossy(&code)),
            quality: Some(f32::from_bits(word(1))).filter(|q| !q.is_nan()),
            ids: bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect(),
        })
    })
}
