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
//! A document that is wanted 2.3 times comes 2 or 3 times, by a hash of its number. That depends on the
//! group's figure and on nothing else of the other documents, nor on the order of work.

mod section;
mod shuffle;

use std::collections::BTreeMap;

use crate::{
    CorpusSection,
    account::mixture::{GroupAccount, MixAccount},
    ids::Ids,
};
use athanor_data::splitmix64;

pub use section::{MixSection, PartSection};
pub(crate) use shuffle::Shuffler;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_cannot_fill_the_others_get() {
        // A tenth of the tokens wants half of the mix, and may come twice.
        let got = fill(&[0.5, 0.25, 0.25], &[100.0, 450.0, 450.0], 1000.0, 2.0);
        assert_eq!(got, [200.0, 400.0, 400.0]);
        // No group can fill it.
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
