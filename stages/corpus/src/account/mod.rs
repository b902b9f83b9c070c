//! What became of every document and byte: `account.json`.

pub(crate) mod datacard;
pub(crate) mod diversity;
mod examples;
pub(crate) mod mixture;
pub(crate) mod topics;

use std::collections::BTreeMap;

use athanor_store::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use mixture::MixAccount;

use crate::{Document, SourceSection, sources};

pub use diversity::Diversity;
pub use examples::Example;
pub use topics::Topic;

/// Hits that the account lists; all are counted.
pub(crate) const HITS: usize = 1000;
use examples::{EXAMPLES, offer, rank};

/// Errors of each source.
pub(crate) const ERRORS: usize = 20;

/// The account of a corpus.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// By source, in the recipe's order.
    pub sources: Vec<SourceAccount>,
    /// By step, in the recipe's order.
    pub steps: Vec<StepAccount>,
    /// Some of what was kept.
    pub kept_examples: Vec<Example>,
    /// Documents by their number of tokens: `counts[i]` have from `edges[i]` up to `edges[i + 1]`.
    pub lengths: Histogram,
    /// Tokens in the shards, closing tokens and repeats included.
    pub tokens: Tokens,
    /// Bytes of kept text for each token, closing tokens included, repeats not.
    pub bytes_per_token: f64,
    /// The tokeniser's size.
    pub vocab_size: usize,
    /// How varied it is.
    pub diversity: Diversity,
    /// The mix, where the recipe has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mix: Option<MixAccount>,
}

/// What a source gave.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceAccount {
    /// Its name.
    pub name: String,
    /// Its path, as the recipe has it, without the query of an https address.
    pub path: String,
    /// What its addresses came to: "commit 0123…".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<String>,
    /// Its licence.
    pub licence: String,
    /// Files read.
    pub files: u64,
    /// Bytes read of them, as they are on disk.
    pub file_bytes: u64,
    /// Bytes of their content, unpacked.
    pub content_bytes: u64,
    /// Records found: `documents + Σ skipped`.
    pub records: u64,
    /// Bytes of the records: `document_record_bytes + Σ skipped`. The rest of the content is what
    /// frames them: headers, markup between them.
    pub record_bytes: u64,
    /// Bytes of the records that became documents.
    pub document_record_bytes: u64,
    /// Records left out, by reason.
    pub skipped: BTreeMap<String, Skipped>,
    /// What was wrong with files that could not be read to their end: the first of them.
    pub errors: Vec<String>,
    /// Documents read.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// Documents kept (after splitting), held-out ones included.
    pub kept_documents: u64,
    /// Bytes kept.
    pub kept_bytes: u64,
    /// Documents held out.
    pub heldout_documents: u64,
    /// Tokens in the shards, closing tokens and repeats included.
    pub tokens: u64,
}

/// Records left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// How many.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Documents and bytes into a step and out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Documents that came.
    pub documents_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Documents that went on.
    pub documents_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
}

/// A document that has something in common with what must not be in the corpus.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hit {
    /// With what.
    pub with: String,
    /// What is in both.
    pub what: String,
    /// The document's source.
    pub source: String,
    /// Its name there.
    pub id: String,
}

/// What a step did. `documents_in + documents_added = documents_out + Σ dropped`, and
/// `bytes_in = bytes_out + bytes_dropped + bytes_removed`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StepAccount {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: Value,
    /// Documents that came.
    pub documents_in: u64,
    /// Documents that went on.
    pub documents_out: u64,
    /// Documents that splitting added.
    pub documents_added: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Bytes that went on.
    pub bytes_out: u64,
    /// Bytes of dropped documents.
    pub bytes_dropped: u64,
    /// Bytes by which changed documents shrank (negative: grew).
    pub bytes_removed: i64,
    /// Documents dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Bytes of the documents dropped, by reason.
    pub dropped_bytes: BTreeMap<String, u64>,
    /// Documents changed.
    pub changed: u64,
    /// What was done to texts, how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
    /// The flow by source.
    pub by_source: BTreeMap<String, Flow>,
    /// The flow by language; "" before it is known.
    pub by_language: BTreeMap<String, Flow>,
    /// What it found out.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub notes: Value,
    /// What was found in common with what must not be there: the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hits: Vec<Hit>,
    /// Some of the dropped and changed ones.
    pub examples: Vec<Example>,
}

/// A histogram.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// Lower bounds; the last bin has no upper one.
    pub edges: Vec<u64>,
    /// How many fell between.
    pub counts: Vec<u64>,
}

/// Tokens by split.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// To train on.
    pub train: u64,
    /// Held out.
    pub heldout: u64,
}

impl Histogram {
    /// Bins that double: 0, 16, 32, … 65,536.
    pub(crate) fn doubling() -> Self {
        let edges: Vec<u64> = std::iter::once(0).chain((4..=16).map(|n| 1 << n)).collect();
        Self { counts: vec![0; edges.len()], edges }
    }

    pub(crate) fn add(&mut self, value: u64) {
        let bin = self.edges.partition_point(|&e| e <= value).saturating_sub(1);
        self.counts[bin] += 1;
    }
}

impl SourceAccount {
    pub(crate) fn new(source: &SourceSection) -> Self {
        Self {
            name: source.name.clone(),
            path: source
                .all_paths()
                .iter()
                .map(|p| sources::remote::shown(p))
                .collect::<Vec<_>>()
                .join(" "),
            licence: source.licence.clone(),
            ..Self::default()
        }
    }
}

impl SourceAccount {
    pub(crate) fn skip(&mut self, reason: &str, bytes: u64) {
        self.records += 1;
        self.record_bytes += bytes;
        let skipped = self.skipped.entry(reason.into()).or_default();
        skipped.records += 1;
        skipped.bytes += bytes;
    }

    /// Whether the records add up.
    pub(crate) fn balances(&self) -> bool {
        let records: u64 = self.skipped.values().map(|s| s.records).sum();
        let bytes: u64 = self.skipped.values().map(|s| s.bytes).sum();
        self.records == self.documents + records
            && self.record_bytes == self.document_record_bytes + bytes
    }
}

/// One more document of a size, in counts of documents and of bytes.
fn add([documents, bytes]: [&mut u64; 2], size: u64) {
    *documents += 1;
    *bytes += size;
}

impl StepAccount {
    /// Those of a document's language and of its source.
    fn flows(&mut self, source: &str, document: &Document) -> [&mut Flow; 2] {
        [entry(&mut self.by_language, document.language), entry(&mut self.by_source, source)]
    }

    pub(crate) fn came(&mut self, source: &str, document: &Document) {
        let size = document.text.len() as u64;
        add([&mut self.documents_in, &mut self.bytes_in], size);
        for flow in self.flows(source, document) {
            add([&mut flow.documents_in, &mut flow.bytes_in], size);
        }
    }

    pub(crate) fn went(&mut self, source: &str, document: &Document) {
        let size = document.text.len() as u64;
        add([&mut self.documents_out, &mut self.bytes_out], size);
        for flow in self.flows(source, document) {
            add([&mut flow.documents_out, &mut flow.bytes_out], size);
        }
    }

    pub(crate) fn drop(&mut self, source: &str, document: &Document, reason: &str) {
        let size = document.text.len() as u64;
        self.example(source, document, reason, None);
        *entry(&mut self.dropped, reason) += 1;
        *entry(&mut self.dropped_bytes, reason) += size;
        self.bytes_dropped += size;
    }

    pub(crate) fn change(&mut self, source: &str, document: &Document, text: &str) {
        self.example(source, document, "changed", Some(text));
        self.changed += 1;
        self.bytes_removed += document.text.len() as i64 - text.len() as i64;
    }

    pub(crate) fn example(
        &mut self,
        source: &str,
        document: &Document,
        reason: &str,
        after: Option<&str>,
    ) {
        let rank = rank(&self.name, reason, source, &document.id);
        offer(
            &mut self.examples,
            EXAMPLES,
            |e| e.reason == reason,
            rank,
            || Example::new(source, document, reason, after),
        );
    }

    /// Checks that nothing came from nowhere or went nowhere.
    ///
    /// # Errors
    /// Failed: a bug of ours, with the figures.
    pub(crate) fn balance(&self) -> Result<()> {
        let dropped: u64 = self.dropped.values().sum();
        let documents = self.documents_in + self.documents_added == self.documents_out + dropped;
        let out = (self.bytes_out + self.bytes_dropped) as i64 + self.bytes_removed;
        let sum = |flows: &mut dyn Iterator<Item = &Flow>| {
            flows.fold(Flow::default(), |a, b| Flow {
                documents_in: a.documents_in + b.documents_in,
                bytes_in: a.bytes_in + b.bytes_in,
                documents_out: a.documents_out + b.documents_out,
                bytes_out: a.bytes_out + b.bytes_out,
            })
        };
        let whole = Flow {
            documents_in: self.documents_in,
            bytes_in: self.bytes_in,
            documents_out: self.documents_out,
            bytes_out: self.bytes_out,
        };
        let documents = documents
            && sum(&mut self.by_source.values()) == whole
            && sum(&mut self.by_language.values()) == whole
            && self.dropped_bytes.values().sum::<u64>() == self.bytes_dropped;
        if documents && self.bytes_in as i64 == out {
            return Ok(());
        }
        Err(Error::failed(format!("the account of step {} does not add up: {self:?}", self.name))
            .hint("this is a bug: please report it with the recipe"))
    }
}

/// A map's value, made where there is none.
fn entry<'a, T: Default>(map: &'a mut BTreeMap<String, T>, key: &str) -> &'a mut T {
    if !map.contains_key(key) {
        map.insert(key.into(), T::default());
    }
    map.entry(key.into()).or_default()
}

impl Flow {
    fn add(&mut self, other: &Self) {
        self.documents_in += other.documents_in;
        self.bytes_in += other.bytes_in;
        self.documents_out += other.documents_out;
        self.bytes_out += other.bytes_out;
    }
}

fn add_all(to: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>) {
    for (key, n) in from {
        *to.entry(key).or_default() += n;
    }
}

/// Adds the counts of a part to those of the whole.
macro_rules! sum {
    ($whole:ident += $part:ident: $($count:ident),* $(,)?) => {
        $($whole.$count += $part.$count;)*
    };
}

/// Accounts of parts of the input, put together in the input's order.
impl SourceAccount {
    pub(crate) fn merge(&mut self, part: Self) {
        sum!(
            self += part:
            files, file_bytes, content_bytes, records, record_bytes, document_record_bytes,
        );
        for (reason, skipped) in part.skipped {
            let own = self.skipped.entry(reason).or_default();
            own.records += skipped.records;
            own.bytes += skipped.bytes;
        }
        self.errors.extend(part.errors);
        self.errors.truncate(ERRORS);
        sum!(self += part: documents, bytes);
    }
}

impl StepAccount {
    /// The same step before anything came.
    pub(crate) fn empty(&self) -> Self {
        let (name, parameters, notes) =
            (self.name.clone(), self.parameters.clone(), self.notes.clone());
        Self { name, parameters, notes, ..Self::default() }
    }

    pub(crate) fn merge(&mut self, part: Self) {
        sum!(
            self += part:
            documents_in, documents_out, documents_added, bytes_in, bytes_out, bytes_dropped,
            bytes_removed, changed,
        );
        add_all(&mut self.dropped, part.dropped);
        add_all(&mut self.dropped_bytes, part.dropped_bytes);
        add_all(&mut self.counters, part.counters);
        for (to, from) in
            [(&mut self.by_source, part.by_source), (&mut self.by_language, part.by_language)]
        {
            for (name, flow) in from {
                to.entry(name).or_default().add(&flow);
            }
        }
        self.hits.extend(part.hits);
        self.hits.truncate(HITS);
        for example in part.examples {
            let Example { reason, source, id, .. } = &example;
            let (rank, reason) = (rank(&self.name, reason, source, id), reason.clone());
            let same = |e: &Example| e.reason == reason;
            offer(&mut self.examples, EXAMPLES, same, rank, || example);
        }
    }
}

impl Histogram {
    pub(crate) fn merge(&mut self, part: &Self) {
        if self.counts.is_empty() {
            *self = part.clone();
            return;
        }
        for (own, n) in self.counts.iter_mut().zip(&part.counts) {
            *own += n;
        }
    }
}
