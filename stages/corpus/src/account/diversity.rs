//! How varied the kept documents are: languages, domains, topics, and how the vocabulary grows with the text.
//!
//! Different words are counted by a sample: those with a hash that begins with so many zero bits that at most
//! 65,536 are remembered (Flajolet 1990, "On adaptive sampling"; the standard error is about 0.5 %). Few words are counted
//! exactly. Where each came first is remembered, too, so the units' samples give the curve of the whole.

use std::collections::{BTreeMap, HashMap};

use athanor_data::splitmix64;
use athanor_store::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Flow,
    topics::{Sample, Topic},
};
use crate::{
    cache::{self, Cache},
    clean::kept::Kept,
    spool,
    steps::{grams, script},
};

/// Words that are remembered.
const SAMPLE: usize = 1 << 16;
/// Domains that the account lists.
const DOMAINS: usize = 50;
const BATCH: usize = 2048;

/// How varied the kept documents are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Diversity {
    /// Words, ideographs being words, in lower case and without punctuation.
    pub words: u64,
    /// Different ones, about.
    pub different_words: u64,
    /// Words read, and different ones among them, in the documents' order.
    pub growth: Vec<(u64, u64)>,
    /// Documents with a known address.
    pub documents_with_address: u64,
    /// Domains they are from.
    pub domains: u64,
    /// The commonest ones and their documents.
    pub top_domains: Vec<(String, u64)>,
    /// Documents and bytes by language; "" where it was not looked for.
    pub languages: BTreeMap<String, (u64, u64)>,
    /// Documents of the sample that was grouped by what they are about.
    #[serde(default)]
    pub topic_documents: u64,
    /// Its groups, the largest first.
    #[serde(default)]
    pub topics: Vec<Topic>,
}

/// What was counted in a part of the documents.
#[derive(Default, Serialize, Deserialize)]
struct Count {
    words: u64,
    /// Zero bits that a word's hash must begin with to be remembered.
    bits: u32,
    /// Remembered words and the place where each came first.
    first: HashMap<u64, u64>,
    addresses: u64,
    domains: BTreeMap<String, u64>,
    languages: BTreeMap<String, (u64, u64)>,
    sample: Sample,
}

impl Count {
    fn see(&mut self, hash: u64, place: u64) {
        if hash.leading_zeros() < self.bits || self.first.contains_key(&hash) {
            return;
        }
        self.first.insert(hash, place);
        while self.first.len() > SAMPLE {
            self.bits += 1;
            let bits = self.bits;
            self.first.retain(|hash, _| hash.leading_zeros() >= bits);
        }
    }

    /// Adds what was counted in later documents.
    fn merge(&mut self, later: Self) {
        self.bits = self.bits.max(later.bits);
        let bits = self.bits;
        self.first.retain(|hash, _| hash.leading_zeros() >= bits);
        // By place, so that the order of a hash map decides nothing.
        let mut words: Vec<(u64, u64)> = later.first.into_iter().map(|(h, p)| (p, h)).collect();
        words.sort_unstable();
        for (place, hash) in words {
            self.see(hash, self.words + place);
        }
        self.words += later.words;
        self.addresses += later.addresses;
        for (name, n) in later.domains {
            *self.domains.entry(name).or_default() += n;
        }
        for (name, (documents, bytes)) in later.languages {
            let own = self.languages.entry(name).or_default();
            *own = (own.0 + documents, own.1 + bytes);
        }
        self.sample.merge(later.sample);
    }

    fn finish(self, names: &[&str]) -> Diversity {
        let mut places: Vec<u64> = self.first.values().copied().collect();
        places.sort_unstable();
        let different = |words: u64| (places.partition_point(|&p| p < words) as u64) << self.bits;
        let mut growth: Vec<(u64, u64)> = (10..63)
            .map(|n| 1u64 << n)
            .take_while(|&n| n < self.words)
            .map(|n| (n, different(n)))
            .collect();
        growth.push((self.words, different(self.words)));
        let mut top: Vec<(String, u64)> = self.domains.into_iter().collect();
        let domains = top.len() as u64;
        top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        top.truncate(DOMAINS);
        let (topic_documents, topics) = self.sample.topics(names);
        Diversity {
            words: self.words,
            different_words: different(self.words),
            growth,
            documents_with_address: self.addresses,
            domains,
            top_domains: top,
            languages: self.languages,
            topic_documents,
            topics,
        }
    }
}

/// The host of an address, without "www.".
fn domain(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.split(':').next()?;
    let host = host.strip_prefix("www.").unwrap_or(host);
    (!host.is_empty()).then_some(host)
}

/// Counts the kept documents, unit by unit; `names` are the sources'.
pub(crate) fn count(cache: &Cache, kept: &[Kept], names: &[&str]) -> Result<Diversity> {
    let key = |k: &Kept| cache::key(&json!(["diversity and topics", k.key]));
    let keys: Vec<String> = kept.iter().map(key).collect();
    cache.all(&keys, |n| {
        let mut count = Count::default();
        let mut documents = spool::read(&kept[n].path)?;
        loop {
            cache.run.interrupt.check()?;
            let batch: Vec<_> = documents.by_ref().take(BATCH).collect::<Result<_>>()?;
            if batch.is_empty() {
                count.sample = std::mem::take(&mut count.sample).finish();
                return cache.finish(&keys[n], &count);
            }
            let hashes: Vec<Vec<u64>> = batch
                .par_iter()
                .map(|d| {
                    let normal = script::normal(&d.text);
                    let words = script::words(&normal).into_iter();
                    words.map(|w| splitmix64(grams::hash(w))).collect()
                })
                .collect();
            for (document, hashes) in batch.iter().zip(hashes) {
                for hash in hashes {
                    count.see(hash, count.words);
                    count.words += 1;
                }
                count.sample.see(document.source, &document.text, document.language);
                if let Some(domain) = domain(&document.url) {
                    count.addresses += 1;
                    *count.domains.entry(domain.to_lowercase()).or_default() += 1;
                }
                let own = count.languages.entry(document.language.into()).or_default();
                *own = (own.0 + 1, own.1 + document.text.len() as u64);
            }
        }
    })?;
    let mut whole = Count::default();
    for key in &keys {
        whole.merge(cache.read(key)?);
    }
    Ok(whole.finish(names))
}

/// A language's share of what a step let through, for the data card.
pub(crate) fn share(flow: &Flow, whole: u64) -> f64 {
    100.0 * flow.bytes_out as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_together_count_what_the_whole_counts() {
        // Word n is a number below n/4 + 1 or so: new ones keep coming.
        let word = |n: u64| splitmix64(splitmix64(n) % (n / 4 + 1));
        let mut whole = Count::default();
        let mut parts: Vec<Count> = (0..3).map(|_| Count::default()).collect();
        for n in 0..900_000 {
            whole.see(word(n), whole.words);
            whole.words += 1;
            let part = &mut parts[(n / 300_000) as usize];
            part.see(word(n), part.words);
            part.words += 1;
        }
        let mut merged = Count::default();
        parts.into_iter().for_each(|p| merged.merge(p));
        let (whole, merged) = (whole.finish(&[]), merged.finish(&[]));
        assert_eq!(whole.growth, merged.growth);
        let exact = (0..900_000).map(word).collect::<std::collections::HashSet<_>>().len() as f64;
        assert!((whole.different_words as f64 / exact - 1.0).abs() < 0.02);
        // Below the sample's size it is exact.
        let few = (0..1024).map(word).collect::<std::collections::HashSet<_>>().len() as u64;
        assert!(
            whole.growth[0].0 == 1024 && (whole.growth[0].1 as f64 / few as f64 - 1.0).abs() < 0.4
        );
    }

    #[test]
    fn domains() {
        assert_eq!(domain("https://www.debian.org:443/a?b"), Some("debian.org"));
        assert_eq!(domain("http://me@a.b/"), Some("a.b"));
        assert_eq!(domain(""), None);
    }
}
