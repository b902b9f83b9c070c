//! Token shards: a corpus as ids on disk, read through memory maps.
//!
//! A folder holds `index.json` and, for each shard, `NAME.bin` (token ids, u16 or u32,
//! little-endian, each document closed by the end-of-document token) and `NAME.docs` (u64,
//! little-endian: where each document begins, in tokens, and at last the shard's number of tokens).

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use athanor_store::{Error, Result, read_json, sha256_file};
use athanor_tensor::mapped::MappedFile;
use serde::{Deserialize, Serialize};

use crate::Split;

/// How a token id is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Two bytes: vocabularies up to 65,536.
    U16,
    /// Four bytes.
    U32,
}

impl Dtype {
    /// The smallest that holds a vocabulary.
    pub fn for_vocab(size: usize) -> Self {
        if size <= 1 << 16 { Self::U16 } else { Self::U32 }
    }

    /// Bytes of an id.
    pub fn width(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }
}

/// `index.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The format's version: 1.
    pub version: u32,
    /// How ids are stored.
    pub dtype: Dtype,
    /// Ids are below this.
    pub vocab_size: usize,
    /// SHA-256 of the tokenizer.json that made the ids.
    pub tokenizer: String,
    /// The id that closes a document.
    pub end_of_document: u32,
    /// All shards, by split and number.
    pub shards: Vec<ShardInfo>,
}

/// One shard in `index.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardInfo {
    /// The tokens' file; the documents' is beside it with the ending `.docs`.
    pub file: String,
    /// The part it belongs to.
    pub split: Split,
    /// Tokens, those that close documents included.
    pub tokens: u64,
    /// Documents.
    pub documents: u64,
    /// Size of the tokens' file.
    pub bytes: u64,
    /// SHA-256 of the tokens' file.
    pub sha256: String,
    /// SHA-256 of the documents' file.
    pub docs_sha256: String,
}

impl Index {
    /// Reads a folder's index.
    ///
    /// # Errors
    /// Input, if there is none or it is of another version.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("index.json");
        let index: Self =
            read_json(&path).map_err(|e| e.hint("token shards are made by `athanor corpus`"))?;
        if index.version != 1 {
            return Err(Error::input(format!(
                "shards of version {}, 1 was expected",
                index.version
            ))
            .at(path.display()));
        }
        Ok(index)
    }
}

/// The shards of one split, as one long row of tokens.
#[derive(Debug)]
pub struct Shards {
    folder: PathBuf,
    index: Index,
    parts: Vec<Part>,
    tokens: u64,
    documents: u64,
}

#[derive(Debug)]
struct Part {
    info: ShardInfo,
    bin: MappedFile,
    docs: MappedFile,
    /// Tokens and documents of the parts before.
    first_token: u64,
    first_document: u64,
}

impl Part {
    /// Where document `i` of this shard begins.
    fn offset(&self, i: u64) -> u64 {
        let at = i as usize * 8;
        let bytes = self.docs.bytes().get(at..at + 8);
        bytes.and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }
}

impl Shards {
    /// Opens a split, checking sizes and document offsets; see [`verify`](Self::verify) for hashes.
    ///
    /// # Errors
    /// Input: files that are missing, or that are not as index.json says.
    pub fn open(folder: impl AsRef<Path>, split: Split) -> Result<Self> {
        let folder = folder.as_ref().to_path_buf();
        let index = Index::load(&folder)?;
        let mut parts = Vec::new();
        let (mut tokens, mut documents) = (0u64, 0u64);
        for info in index.shards.iter().filter(|s| s.split == split) {
            let map = |name: &str| {
                let path = folder.join(name);
                MappedFile::open(&path).map_err(|e| Error::io("read", &path, e))
            };
            let part = Part {
                info: info.clone(),
                bin: map(&info.file)?,
                docs: map(&docs_file(&info.file))?,
                first_token: tokens,
                first_document: documents,
            };
            check(&part, index.dtype).map_err(|e| {
                e.at(folder.join(&info.file).display())
                    .hint("the shard is damaged: make the corpus again")
            })?;
            tokens += info.tokens;
            documents += info.documents;
            parts.push(part);
        }
        Ok(Self { folder, index, parts, tokens, documents })
    }

    /// Checks every file's SHA-256 (reads all of them), and that each id is in the vocabulary.
    ///
    /// # Errors
    /// Input: the file that is not as index.json says.
    pub fn verify(&self) -> Result<()> {
        for part in &self.parts {
            let docs = docs_file(&part.info.file);
            for (name, want) in
                [(&part.info.file, &part.info.sha256), (&docs, &part.info.docs_sha256)]
            {
                let path = self.folder.join(name);
                let found = sha256_file(&path)?;
                if found != *want {
                    return Err(Error::input(format!("sha256 is {found}, index.json says {want}"))
                        .at(path.display())
                        .hint("the shard is damaged: make the corpus again"));
                }
            }
            let first = part.first_token;
            let ids = self.tokens(first..first + part.info.tokens);
            if let Some(id) = ids.into_iter().find(|&id| id as usize >= self.index.vocab_size) {
                return Err(Error::input(format!(
                    "token id {id}, the vocabulary has {}",
                    self.index.vocab_size
                ))
                .at(self.folder.join(&part.info.file).display()));
            }
        }
        Ok(())
    }

    /// What index.json says.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The number of tokens.
    pub fn len(&self) -> u64 {
        self.tokens
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.tokens == 0
    }

    /// The number of documents.
    pub fn documents(&self) -> u64 {
        self.documents
    }

    /// The tokens at these positions, across shards; positions behind the end are left out.
    pub fn tokens(&self, range: Range<u64>) -> Vec<u32> {
        let end = range.end.min(self.tokens);
        let mut at = range.start;
        let mut out = Vec::with_capacity(end.saturating_sub(at) as usize);
        while at < end {
            let n = self.parts.partition_point(|p| p.first_token + p.info.tokens <= at);
            let Some(part) = self.parts.get(n) else { break };
            let upto = end.min(part.first_token + part.info.tokens);
            let width = self.index.dtype.width();
            let (a, b) = ((at - part.first_token) as usize, (upto - part.first_token) as usize);
            let bytes = part.bin.bytes().get(a * width..b * width).unwrap_or_default();
            match self.index.dtype {
                Dtype::U16 => {
                    out.extend(
                        bytes.as_chunks::<2>().0.iter().map(|b| u32::from(u16::from_le_bytes(*b))),
                    );
                }
                Dtype::U32 => {
                    out.extend(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)));
                }
            }
            at = upto;
        }
        out
    }

    /// Where document `i` is in the row of tokens, its closing token included; empty behind the
    /// last document.
    pub fn document_range(&self, i: u64) -> Range<u64> {
        let n = self.parts.partition_point(|p| p.first_document + p.info.documents <= i);
        let Some(part) = self.parts.get(n) else { return self.tokens..self.tokens };
        let i = i - part.first_document;
        part.first_token + part.offset(i)..part.first_token + part.offset(i + 1)
    }

    /// The tokens of document `i`, its closing token included; none behind the last document.
    pub fn document(&self, i: u64) -> Vec<u32> {
        self.tokens(self.document_range(i))
    }
}

fn check(part: &Part, dtype: Dtype) -> Result<()> {
    let info = &part.info;
    let size = part.bin.bytes().len() as u64;
    if size != info.bytes || Some(size) != info.tokens.checked_mul(dtype.width() as u64) {
        return Err(Error::input(format!(
            "{size} bytes, index.json says {} bytes and {} tokens",
            info.bytes, info.tokens
        )));
    }
    let size = part.docs.bytes().len() as u64;
    if Some(size) != info.documents.checked_add(1).and_then(|n| n.checked_mul(8)) {
        return Err(Error::input(format!(
            "its .docs file has {size} bytes, index.json says {} documents",
            info.documents
        )));
    }
    let rising = (0..info.documents).all(|i| part.offset(i) < part.offset(i + 1));
    if !rising || part.offset(0) != 0 || part.offset(info.documents) != info.tokens {
        return Err(Error::input("its .docs file is not a rising list of offsets"));
    }
    Ok(())
}

pub(crate) fn docs_file(bin: &str) -> String {
    format!("{}.docs", bin.strip_suffix(".bin").unwrap_or(bin))
}
