//! How often each document enters the shards, and in which order.
//!
//! Groups of documents (sources, languages, or sources within languages) get shares of the training
//! tokens: those that the recipe names, the others weight · tokens^(1/temperature) of what is left, as
//! multilingual models are trained (Conneau et al. 2020, <https://arxiv.org/abs/1911.02116>, section 3.1, α =
//! 1/temperature). A group is not repeated more often than `max_epochs` (Muennighoff et al. 2023,
//! <https://arxiv.org/abs/2305.16264>: up to 4 epochs are about as good as new text); what it cannot fill
//! the others get in proportion. Within a group documents may come more often the better the quality
//! classifier finds them.
//!
//! A document that is wanted 2.3 times comes 2 or 3 times, by a hash of its number: what it is does not
//! depend on the others but for the group's figure, and on no order of work.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use athanor_data::splitmix64;
use athanor_store::{Check, Error, Problem, Result, section};
use serde::{Deserialize, Serialize};

use crate::{CorpusSection, encode::Ids, steps::language};

section! {
    /// What the training shards are made of.
    pub struct MixSection {
        /// What gets shares: "none" (everything as often as `repeat` says), "source", "language", or "both":
        /// languages, and sources within each.
        by: String = "none".to_string(),
        /// Sources or languages (ISO 639-1) with a share or weight of their own.
        parts: Vec<PartSection> = Vec::new(),
        /// Shares of what `parts` leaves go by tokens to the power of 1/temperature: 1 as they are, above
        /// that small groups get more.
        temperature: f64 = 1.0,
        /// No document comes more often than this.
        max_epochs: f64 = 4.0,
        /// Training tokens of the mix; 0: as many as there are.
        tokens: u64 = 0,
        /// Documents of a group come by their quality score to this power; 0: all alike. Needs the step
        /// `quality`; what it has not judged has score 1.
        quality: f64 = 0.0,
        /// Write training documents in an order by chance instead of the sources' order. A mix is always
        /// in that order.
        shuffle: bool = false,
    }
}

section! {
    /// A part of the mix.
    pub struct PartSection {
        /// The source or language.
        name: String = String::new(),
        /// Its share of the training tokens, 0 to 1; not set: by tokens and weight.
        share: Option<f64> = None,
        /// Its weight among those without a share.
        weight: f64 = 1.0,
    }
}

impl Check for PartSection {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless(!self.name.is_empty(), "name", "which source or language?")?;
        let good = self.share.is_none_or(|s| (0.0..=1.0).contains(&s));
        Problem::unless(good, "share", "must be in 0..1")?;
        Problem::unless(self.weight >= 0.0, "weight", "must not be negative")
    }
}

impl Check for MixSection {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless_one_of("by", &self.by, &["none", "source", "language", "both"])?;
        Problem::unless(self.temperature > 0.0, "temperature", "must be positive")?;
        Problem::unless(self.max_epochs > 0.0, "max_epochs", "must be positive")?;
        Problem::unless(self.quality >= 0.0, "quality", "must not be negative")?;
        Problem::unless(
            self.parts.is_empty() || self.by != "none",
            "parts",
            "parts need by = \"source\", \"language\" or \"both\"",
        )
    }
}

impl MixSection {
    /// Whether anything is weighed at all.
    pub(crate) fn weighs(&self) -> bool {
        self.by != "none" || self.tokens > 0 || self.quality > 0.0
    }

    /// Checks that fit the mix to the sources and steps.
    pub(crate) fn check_with(&self, section: &CorpusSection) -> std::result::Result<(), Problem> {
        for (i, part) in self.parts.iter().enumerate() {
            let source = section.sources.iter().any(|s| s.name == part.name);
            let language =
                part.name == language::UNKNOWN || !language::known(&part.name).is_empty();
            let good = match self.by.as_str() {
                "source" => source,
                "language" => language,
                _ => source || language,
            };
            let what = if self.by == "source" { "source" } else { "source or language" };
            let name = format!("parts.{i}.name");
            Problem::unless(good, name, format!("there is no {what} {:?}", part.name))?;
        }
        for names in [true, false] {
            let shares = self
                .parts
                .iter()
                .filter(|p| section.sources.iter().any(|s| s.name == p.name) == names);
            let sum: f64 = shares.filter_map(|p| p.share).sum();
            Problem::unless(sum <= 1.0 + 1e-9, "parts", format!("the shares add up to {sum:.3}"))?;
        }
        let has = |step: &str| section.steps.iter().any(|s| s == step);
        Problem::unless(
            !matches!(self.by.as_str(), "language" | "both") || has("language"),
            "by",
            "needs the step \"language\"",
        )?;
        let scored = self.quality == 0.0 || has("quality");
        Problem::unless(scored, "quality", "needs the step \"quality\"")?;
        let once = !self.weighs() || section.sources.iter().all(|s| s.repeat == 1);
        Problem::unless(once, "by", "a mix decides how often documents come: leave `repeat` out")
    }
}

/// What the mix came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MixAccount {
    /// Training tokens that were wanted.
    pub tokens_wanted: u64,
    /// Training tokens in the shards.
    pub tokens: u64,
    /// By source and language.
    pub groups: Vec<GroupAccount>,
}

/// A source's documents of one language.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GroupAccount {
    /// The source.
    pub source: String,
    /// The language; "" if not looked for.
    pub language: String,
    /// Documents there are.
    pub documents: u64,
    /// Their tokens.
    pub tokens_available: u64,
    /// How often they were to come on average.
    pub epochs_wanted: f64,
    /// The share of training tokens that was wanted, after the bound on epochs.
    pub share_wanted: f64,
    /// Documents in the shards, each time counted.
    pub copies: u64,
    /// Tokens in the shards.
    pub tokens: u64,
    /// Their share.
    pub share: f64,
}

#[derive(Clone, Debug, Default)]
struct Group {
    documents: u64,
    tokens: u64,
    /// Σ tokens · score^quality.
    scored: f64,
    rate: f64,
    copies: u64,
    taken: u64,
}

/// The mix at work.
pub(crate) struct Mix<'a> {
    section: &'a CorpusSection,
    seed: u64,
    wanted: f64,
    groups: BTreeMap<(usize, &'static str), Group>,
}

impl<'a> Mix<'a> {
    pub(crate) fn new(section: &'a CorpusSection, seed: u64) -> Self {
        Self { section, seed: splitmix64(seed ^ 0x006D_6978), wanted: 0.0, groups: BTreeMap::new() }
    }

    /// Whether it has to count all documents first.
    pub(crate) fn counts(&self) -> bool {
        self.section.mix.weighs()
    }

    fn score(&self, ids: &Ids) -> f64 {
        let quality = self.section.mix.quality;
        if quality == 0.0 { 1.0 } else { f64::from(ids.quality.unwrap_or(1.0)).powf(quality) }
    }

    pub(crate) fn count(&mut self, source: usize, ids: &Ids) {
        if ids.heldout {
            return;
        }
        let tokens = ids.ids.len() as u64 + 1;
        let score = self.score(ids);
        let group = self.groups.entry((source, ids.language)).or_default();
        group.documents += 1;
        group.tokens += tokens;
        group.scored += tokens as f64 * score;
    }

    /// Decides how often the documents of each group come.
    pub(crate) fn decide(&mut self) {
        if !self.counts() {
            return;
        }
        let mix = &self.section.mix;
        let available: u64 = self.groups.values().map(|g| g.tokens).sum();
        self.wanted = if mix.tokens > 0 { mix.tokens as f64 } else { available as f64 };
        let keys: Vec<(usize, &'static str)> = self.groups.keys().copied().collect();
        let tokens: Vec<f64> = self.groups.values().map(|g| g.tokens as f64).collect();
        let source = |k: &(usize, &str)| self.section.sources[k.0].name.clone();
        let language = |k: &(usize, &str)| k.1.to_string();
        let whole: Vec<usize> = (0..keys.len()).collect();
        let mut shares = vec![0.0; keys.len()];
        match mix.by.as_str() {
            "source" => self.level(&keys, &tokens, &whole, 1.0, &source, &mut shares),
            "language" => self.level(&keys, &tokens, &whole, 1.0, &language, &mut shares),
            "both" => {
                self.level(&keys, &tokens, &whole, 1.0, &language, &mut shares);
                let mut names: Vec<&str> = keys.iter().map(|k| k.1).collect();
                names.sort_unstable();
                names.dedup();
                for name in names {
                    let members: Vec<usize> =
                        whole.iter().copied().filter(|&n| keys[n].1 == name).collect();
                    let share = members.iter().map(|&n| shares[n]).sum();
                    self.level(&keys, &tokens, &members, share, &source, &mut shares);
                }
            }
            _ => shares = tokens.iter().map(|t| t / available.max(1) as f64).collect(),
        }
        let wanted = fill(&shares, &tokens, self.wanted, mix.max_epochs);
        for (group, wanted) in self.groups.values_mut().zip(wanted) {
            group.rate = wanted / (group.tokens as f64).max(1.0);
        }
    }

    /// Divides a share among the names of some groups, and each name's among its groups by tokens.
    fn level(
        &self,
        keys: &[(usize, &'static str)],
        tokens: &[f64],
        members: &[usize],
        share: f64,
        name: &dyn Fn(&(usize, &str)) -> String,
        shares: &mut [f64],
    ) {
        let mix = &self.section.mix;
        let mut named: BTreeMap<String, f64> = BTreeMap::new();
        for &n in members {
            *named.entry(name(&keys[n])).or_default() += tokens[n];
        }
        let part = |name: &str| mix.parts.iter().find(|p| p.name == name);
        let fixed: f64 = named.keys().filter_map(|n| part(n)?.share).sum();
        let weight = |name: &str, tokens: f64| {
            part(name).map_or(1.0, |p| p.weight) * tokens.powf(1.0 / mix.temperature)
        };
        let free = named.iter().filter(|(n, _)| part(n).is_none_or(|p| p.share.is_none()));
        let all: f64 = free.map(|(n, &t)| weight(n, t)).sum();
        for &n in members {
            let name = name(&keys[n]);
            let own = match part(&name).and_then(|p| p.share) {
                // Where nothing else is, the named ones share it all.
                Some(s) => {
                    if all > 0.0 {
                        s
                    } else {
                        s / fixed.max(f64::MIN_POSITIVE)
                    }
                }
                None => {
                    (1.0 - fixed).max(0.0) * weight(&name, named[&name])
                        / all.max(f64::MIN_POSITIVE)
                }
            };
            shares[n] = share * own * tokens[n] / named[&name].max(1.0);
        }
    }

    /// How often a training document comes; `number` is its place among all kept documents.
    pub(crate) fn copies(&mut self, source: usize, ids: &Ids, number: u64) -> usize {
        if !self.counts() {
            return self.section.sources[source].repeat;
        }
        let score = self.score(ids);
        let max = self.section.mix.max_epochs;
        let Some(group) = self.groups.get_mut(&(source, ids.language)) else { return 0 };
        let mean = group.scored / (group.tokens as f64).max(1.0);
        let rate = (group.rate * score / mean.max(f64::MIN_POSITIVE)).min(max);
        // 53 bits: what a float can tell apart.
        let chance = (splitmix64(self.seed ^ number) >> 11) as f64 / (1u64 << 53) as f64;
        let copies = rate.floor() as usize + usize::from(chance < rate.fract());
        group.copies += copies as u64;
        group.taken += copies as u64 * (ids.ids.len() as u64 + 1);
        copies
    }

    /// What it came to.
    pub(crate) fn account(&self) -> Option<MixAccount> {
        if !self.counts() {
            return None;
        }
        let tokens: u64 = self.groups.values().map(|g| g.taken).sum();
        let wanted: f64 = self.groups.values().map(|g| g.rate * g.tokens as f64).sum();
        let groups = self.groups.iter().map(|((source, language), g)| GroupAccount {
            source: self.section.sources[*source].name.clone(),
            language: (*language).into(),
            documents: g.documents,
            tokens_available: g.tokens,
            epochs_wanted: g.rate,
            share_wanted: g.rate * g.tokens as f64 / wanted.max(1.0),
            copies: g.copies,
            tokens: g.taken,
            share: g.taken as f64 / tokens.max(1) as f64,
        });
        Some(MixAccount { tokens_wanted: self.wanted as u64, tokens, groups: groups.collect() })
    }
}

/// Tokens of each group: its share of `wanted`, at most `epochs` times what there is; what one cannot
/// fill goes to the others in proportion.
fn fill(shares: &[f64], available: &[f64], wanted: f64, epochs: f64) -> Vec<f64> {
    let mut out = vec![0.0; shares.len()];
    let mut full = vec![false; shares.len()];
    loop {
        let left: f64 =
            wanted - (0..shares.len()).filter(|&n| full[n]).map(|n| out[n]).sum::<f64>();
        let free: f64 = (0..shares.len()).filter(|&n| !full[n]).map(|n| shares[n]).sum();
        if free <= 0.0 {
            return out;
        }
        let mut more = false;
        for n in (0..shares.len()).filter(|&n| !full[n]).collect::<Vec<_>>() {
            out[n] = left.max(0.0) * shares[n] / free;
            if out[n] > epochs * available[n] {
                out[n] = epochs * available[n];
                full[n] = true;
                more = true;
            }
        }
        if !more {
            return out;
        }
    }
}

/// Bytes of ids that are put in order at once.
const BUCKET_BYTES: u64 = 64 << 20;
/// Files open at once.
const BUCKETS: u64 = 512;

/// Puts documents in an order by chance, on disk: in buckets by the high bits of a hash, then each in memory.
pub(crate) struct Shuffler {
    seed: u64,
    folder: PathBuf,
    buckets: Vec<BufWriter<File>>,
}

impl Shuffler {
    pub(crate) fn new(seed: u64, bytes: u64, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let mut buckets = Vec::new();
        for n in 0..(bytes / BUCKET_BYTES + 1).min(BUCKETS) {
            let path = folder.join(n.to_string());
            let file = File::create(&path).map_err(|e| Error::io("write", &path, e))?;
            buckets.push(BufWriter::with_capacity(1 << 16, file));
        }
        Ok(Self { seed: splitmix64(seed ^ 0x006F_7264_6572), folder: folder.into(), buckets })
    }

    pub(crate) fn add(
        &mut self,
        number: u64,
        copy: usize,
        source: usize,
        ids: &[u32],
    ) -> Result<()> {
        let key = splitmix64(splitmix64(self.seed ^ number).wrapping_add(copy as u64));
        let bucket = (u128::from(key) * self.buckets.len() as u128) >> 64;
        let mut bytes = Vec::with_capacity(16 + 4 * ids.len());
        bytes.extend(key.to_le_bytes());
        bytes.extend((source as u32).to_le_bytes());
        bytes.extend((ids.len() as u32).to_le_bytes());
        ids.iter().for_each(|id| bytes.extend(id.to_le_bytes()));
        let written = self.buckets[bucket as usize].write_all(&bytes);
        written.map_err(|e| Error::io("write", &self.folder, e))
    }

    /// Gives all of them in their order and removes the files.
    pub(crate) fn finish(self, mut each: impl FnMut(usize, &[u32]) -> Result<()>) -> Result<()> {
        let Self { folder, buckets, .. } = self;
        let count = buckets.len();
        for bucket in buckets {
            bucket.into_inner().map_err(|e| Error::io("write", &folder, e.into_error()))?;
        }
        for n in 0..count {
            let path = folder.join(n.to_string());
            let fail = |e| Error::io("read", &path, e);
            let file = File::open(&path).map_err(fail)?;
            let mut left = file.metadata().map_err(fail)?.len();
            let mut file = BufReader::with_capacity(1 << 20, file);
            let mut documents: Vec<(u64, u32, Vec<u32>)> = Vec::new();
            while left > 0 {
                let mut header = [0; 16];
                file.read_exact(&mut header).map_err(fail)?;
                let word = |n: usize| {
                    header[n..n + 4].iter().rev().fold(0u32, |w, &b| w << 8 | u32::from(b))
                };
                let mut bytes = vec![0; 4 * word(12) as usize];
                file.read_exact(&mut bytes).map_err(fail)?;
                left -= 16 + bytes.len() as u64;
                let ids = bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b));
                let key = u64::from(word(4)) << 32 | u64::from(word(0));
                documents.push((key, word(8), ids.collect()));
            }
            // Stable: of the same key the first comes first.
            documents.sort_by_key(|d| d.0);
            for (_, source, ids) in documents {
                each(source as usize, &ids)?;
            }
            fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        fs::remove_dir(&folder).map_err(|e| Error::io("remove", &folder, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_cannot_fill_the_others_get() {
        // A tenth of the tokens wants half of the mix, and may come twice.
        let got = fill(&[0.5, 0.25, 0.25], &[100.0, 450.0, 450.0], 1000.0, 2.0);
        assert_eq!(got, [200.0, 400.0, 400.0]);
        // Nobody can fill it.
        assert_eq!(fill(&[0.5, 0.5], &[10.0, 20.0], 1000.0, 4.0), [40.0, 80.0]);
        assert_eq!(fill(&[1.0, 0.0], &[10.0, 20.0], 10.0, 4.0), [10.0, 0.0]);
    }

    #[test]
    fn an_order_by_chance_has_everything_once() {
        let folder = tempfile::tempdir().unwrap();
        let order = |seed, bytes| {
            let mut shuffler = Shuffler::new(seed, bytes, &folder.path().join("s")).unwrap();
            for n in 0..1000u32 {
                shuffler.add(u64::from(n), 0, (n % 3) as usize, &[n, n]).unwrap();
            }
            let mut out = Vec::new();
            shuffler
                .finish(|source, ids| {
                    assert_eq!((source as u32, ids.len()), (ids[0] % 3, 2));
                    out.push(ids[0]);
                    Ok(())
                })
                .unwrap();
            out
        };
        let one = order(1, 0);
        // However many buckets.
        assert_eq!(one, order(1, 500 << 20));
        assert_ne!(one, order(2, 0));
        let mut sorted = one.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_ne!(one, sorted);
    }
}
