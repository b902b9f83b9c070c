//! Writing token shards.

use std::path::{Path, PathBuf};

use athanor_store::{Error, Result, sha256_bytes, write_atomic, write_json};

use crate::{
    Split,
    shards::{Dtype, Index, ShardInfo, docs_file},
};

/// Tokens of a shard, unless said otherwise: 64 or 128 MiB.
const SHARD_TOKENS: usize = 32 << 20;

/// Writes documents as shards into a folder; see [`crate::Shards`] for the format. Each file is
/// durable when written; `index.json` comes last, so that a folder without it is not whole.
#[derive(Debug)]
pub struct ShardWriter {
    folder: PathBuf,
    index: Index,
    shard_tokens: usize,
    open: [Open; 3],
}

/// A shard that is not full yet.
#[derive(Debug, Default)]
struct Open {
    number: usize,
    bytes: Vec<u8>,
    tokens: u64,
    offsets: Vec<u64>,
}

impl ShardWriter {
    /// Starts in `folder`, for ids below `vocab_size`, made by the tokenizer.json with this
    /// SHA-256; `end_of_document` closes each document.
    ///
    /// # Errors
    /// Input, if `end_of_document` is not in the vocabulary.
    pub fn new(
        folder: impl AsRef<Path>,
        vocab_size: usize,
        tokenizer: &str,
        end_of_document: u32,
    ) -> Result<Self> {
        let index = Index {
            version: 1,
            dtype: Dtype::for_vocab(vocab_size),
            vocab_size,
            tokenizer: tokenizer.into(),
            end_of_document,
            shards: Vec::new(),
        };
        in_vocabulary(end_of_document, vocab_size)?;
        let folder = folder.as_ref().to_path_buf();
        Ok(Self { folder, index, shard_tokens: SHARD_TOKENS, open: Default::default() })
    }

    /// Begins a new shard behind every document that reaches this many tokens in its shard.
    #[must_use]
    pub fn shard_tokens(mut self, tokens: usize) -> Self {
        self.shard_tokens = tokens.max(1);
        self
    }

    /// Adds a document and closes it. Returns the tokens added, the closing one included.
    ///
    /// # Errors
    /// Input, if an id is not in the vocabulary; those of writing.
    pub fn add(&mut self, split: Split, document: &[u32]) -> Result<u64> {
        let open = &mut self.open[split as usize];
        open.offsets.push(open.tokens);
        for &id in document.iter().chain([&self.index.end_of_document]) {
            in_vocabulary(id, self.index.vocab_size)?;
            match self.index.dtype {
                Dtype::U16 => open.bytes.extend((id as u16).to_le_bytes()),
                Dtype::U32 => open.bytes.extend(id.to_le_bytes()),
            }
        }
        let added = document.len() as u64 + 1;
        open.tokens += added;
        if open.tokens >= self.shard_tokens as u64 {
            self.flush(split)?;
        }
        Ok(added)
    }

    /// Writes what is left, and index.json.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> Result<Index> {
        self.flush(Split::Train)?;
        self.flush(Split::Validation)?;
        self.flush(Split::Heldout)?;
        self.index.shards.sort_by(|a, b| (a.split as u8, &a.file).cmp(&(b.split as u8, &b.file)));
        write_json(&self.folder.join("index.json"), &self.index)?;
        Ok(self.index)
    }

    fn flush(&mut self, split: Split) -> Result<()> {
        let open = &mut self.open[split as usize];
        if open.tokens == 0 {
            return Ok(());
        }
        let number = open.number;
        let mut full = std::mem::replace(open, Open { number: number + 1, ..Open::default() });
        let file = format!("{split}-{number:05}.bin");
        let documents = full.offsets.len() as u64;
        full.offsets.push(full.tokens);
        let docs: Vec<u8> = full.offsets.iter().flat_map(|o| o.to_le_bytes()).collect();
        write_atomic(&self.folder.join(&file), &full.bytes)?;
        write_atomic(&self.folder.join(docs_file(&file)), &docs)?;
        self.index.shards.push(ShardInfo {
            file,
            split,
            tokens: full.tokens,
            documents,
            bytes: full.bytes.len() as u64,
            sha256: sha256_bytes(&full.bytes),
            docs_sha256: sha256_bytes(&docs),
        });
        Ok(())
    }
}

fn in_vocabulary(id: u32, size: usize) -> Result<()> {
    if (id as usize) < size {
        return Ok(());
    }
    Err(Error::input(format!("token id {id} is not in a vocabulary of {size}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shards;
    use proptest::prelude::*;

    fn write(folder: &Path, vocab: usize, shard: usize, documents: &[Vec<u32>]) -> Index {
        let mut writer = ShardWriter::new(folder, vocab, "hash", 0).unwrap().shard_tokens(shard);
        for document in documents {
            writer.add(Split::Train, document).unwrap();
        }
        writer.finish().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

        #[test]
        fn what_was_written_is_read(
            documents in prop::collection::vec(prop::collection::vec(1u32..60_000, 0..40), 0..30),
            shard in 1usize..200,
            wide: bool,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let vocab = if wide { 100_000 } else { 60_000 };
            write(folder.path(), vocab, shard, &documents);
            let shards = Shards::open(folder.path(), Split::Train).unwrap();
            shards.verify().unwrap();
            let closed: Vec<Vec<u32>> =
                documents.iter().map(|d| d.iter().copied().chain([0]).collect()).collect();
            prop_assert_eq!(shards.documents(), documents.len() as u64);
            for (i, document) in closed.iter().enumerate() {
                prop_assert_eq!(&shards.document(i as u64), document);
            }
            let all = closed.concat();
            prop_assert_eq!(shards.len(), all.len() as u64);
            prop_assert_eq!(shards.tokens(0..u64::MAX), &all[..]);
            let (a, b) = (all.len() / 3, all.len() / 2);
            prop_assert_eq!(shards.tokens(a as u64..b as u64), &all[a..b]);
            prop_assert!(shards.document(documents.len() as u64).is_empty());
            prop_assert!(Shards::open(folder.path(), Split::Heldout).unwrap().is_empty());
        }
    }

    #[test]
    fn damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 100, 1000, &[vec![1, 2, 3], vec![4]]);
        let bin = folder.path().join("train-00000.bin");
        let good = std::fs::read(&bin).unwrap();
        let open = || Shards::open(folder.path(), Split::Train);
        std::fs::write(&bin, &good[..good.len() - 2]).unwrap();
        assert!(
            open()
                .unwrap_err()
                .to_string()
                .contains("train-00000.bin: 10 bytes, index.json says 12")
        );
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        std::fs::write(&bin, &flipped).unwrap();
        assert!(open().unwrap().verify().unwrap_err().to_string().contains("sha256 is"));
        std::fs::write(&bin, &good).unwrap();
        let docs = folder.path().join("train-00000.docs");
        std::fs::write(&docs, [0u8; 24]).unwrap();
        assert!(open().unwrap_err().to_string().contains("rising"));
        std::fs::remove_file(&docs).unwrap();
        assert!(open().is_err());
        assert!(ShardWriter::new(folder.path(), 100, "", 100).is_err());
        let mut writer = ShardWriter::new(folder.path(), 100, "", 0).unwrap();
        assert!(writer.add(Split::Train, &[100]).is_err());
    }
}
