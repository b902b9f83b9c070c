//! Guesses without a network, by counts of the training tokens: what a model has to beat. They see
//! what a model sees and nothing of the target.
//!
//! Bigrams are smoothed by Witten and Bell 1991 (method C): p(t | l) = (n(l, t) + k(l)·p(t)) / (n(l) +
//! k(l)), with k(l) the number of different tokens that followed l. With both neighbours: p(t | l, r) ∝
//! p(t | l)·p(r | t).

use std::{collections::HashMap, ops::Range};

use athanor_data::Shards;
use athanor_store::{
    Figure,
    figures::{
        BIGRAM_ACCURACY, BIGRAM_LOSS, BOTH_SIDES_ACCURACY, BOTH_SIDES_LOSS, UNIGRAM_ACCURACY,
        UNIGRAM_LOSS,
    },
};
use athanor_training::Figures;

/// Most training tokens that are counted.
const MOST_TOKENS: u64 = 64 << 20;

/// Counts of tokens and of pairs of them.
pub(crate) struct Ngrams {
    unigram: Vec<f64>,
    /// Of each token: pairs that begin with it, and different tokens that follow.
    followed: Vec<(f64, f64)>,
    /// Pairs and their counts, in order.
    pairs: Vec<((u32, u32), u32)>,
    /// Where the pairs that begin with each token begin.
    after: Vec<u32>,
    /// Places of the pairs, in the order of their second tokens.
    turned: Vec<u32>,
    /// Where the pairs that end with each token begin there.
    before: Vec<u32>,
}

/// Where each of `size` tokens begins in a list in their order.
fn begins(size: usize, tokens: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut begins = vec![0u32; size + 1];
    tokens.for_each(|t| begins[t as usize + 1] += 1);
    (0..size).for_each(|t| begins[t + 1] += begins[t]);
    begins
}

fn of(begins: &[u32], token: usize) -> Range<usize> {
    begins[token] as usize..begins[token + 1] as usize
}

/// How well a guess did: sum of -ln p, and right ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Score {
    pub nats: f64,
    pub right: f64,
}

/// The figures of the three guesses.
pub(crate) const GUESSES: &[&Figure] = &[
    &UNIGRAM_LOSS,
    &UNIGRAM_ACCURACY,
    &BIGRAM_LOSS,
    &BIGRAM_ACCURACY,
    &BOTH_SIDES_LOSS,
    &BOTH_SIDES_ACCURACY,
];

/// The figures of the three guesses over `n` targets, from the sums of their scores.
pub(crate) fn mean_scores(sums: &[Score; 3], n: f64) -> Figures {
    let [unigram, bigram, both] = sums;
    vec![
        (UNIGRAM_LOSS.name, unigram.nats / n),
        (UNIGRAM_ACCURACY.name, unigram.right / n),
        (BIGRAM_LOSS.name, bigram.nats / n),
        (BIGRAM_ACCURACY.name, bigram.right / n),
        (BOTH_SIDES_LOSS.name, both.nats / n),
        (BOTH_SIDES_ACCURACY.name, both.right / n),
    ]
}

impl Ngrams {
    /// Counts. `special` tokens are never guessed and tell nothing as neighbours.
    pub fn new(shards: &Shards, special: impl Fn(u32) -> bool) -> Self {
        let size = shards.index().vocab_size;
        let special: Vec<bool> = (0..size as u32).map(special).collect();
        let mut unigram = vec![0.0; size];
        let mut pairs: HashMap<(u32, u32), u32> = HashMap::new();
        let mut last = None;
        const BLOCK: u64 = 1 << 20;
        for from in (0..shards.len().min(MOST_TOKENS)).step_by(BLOCK as usize) {
            for id in shards.tokens(from..from + BLOCK) {
                if special.get(id as usize).copied().unwrap_or(true) {
                    last = None;
                    continue;
                }
                unigram[id as usize] += 1.0;
                if let Some(last) = last {
                    *pairs.entry((last, id)).or_default() += 1;
                }
                last = Some(id);
            }
        }
        // One more of each token that can be guessed, so that none is impossible.
        let all: f64 =
            unigram.iter().zip(&special).filter(|(_, s)| !**s).map(|(n, _)| n + 1.0).sum();
        for (n, special) in unigram.iter_mut().zip(&special) {
            *n = if *special { 0.0 } else { (*n + 1.0) / all.max(1.0) };
        }
        // Flat lists: small ones of each token would stay with the process for good.
        let mut pairs: Vec<((u32, u32), u32)> = pairs.into_iter().collect();
        pairs.sort_unstable();
        let mut followed = vec![(0.0, 0.0); size];
        for ((l, _), n) in &pairs {
            followed[*l as usize].0 += f64::from(*n);
            followed[*l as usize].1 += 1.0;
        }
        let mut turned: Vec<u32> = (0..pairs.len() as u32).collect();
        turned.sort_unstable_by_key(|&i| (pairs[i as usize].0.1, i));
        let after = begins(size, pairs.iter().map(|(pair, _)| pair.0));
        let before = begins(size, pairs.iter().map(|(pair, _)| pair.1));
        Self { unigram, followed, pairs, after, turned, before }
    }

    /// p(· | left neighbour), or of all tokens without one.
    fn given_left(&self, left: Option<u32>) -> Vec<f64> {
        let mut p = self.unigram.clone();
        let Some(l) = left.map(|l| l as usize).filter(|&l| self.unigram.get(l) > Some(&0.0)) else {
            return p;
        };
        let (n, kinds) = self.followed[l];
        if n > 0.0 {
            p.iter_mut().for_each(|p| *p *= kinds / (n + kinds));
            for &((_, t), c) in &self.pairs[of(&self.after, l)] {
                p[t as usize] += f64::from(c) / (n + kinds);
            }
        }
        p
    }

    /// p(· | both neighbours).
    fn given_both(&self, left: Option<u32>, right: Option<u32>) -> Vec<f64> {
        let mut p = self.given_left(left);
        let Some(r) = right.map(|r| r as usize).filter(|&r| self.unigram.get(r) > Some(&0.0))
        else {
            return p;
        };
        let mut pairs = vec![0.0; p.len()];
        for &place in &self.turned[of(&self.before, r)] {
            let ((l, _), n) = self.pairs[place as usize];
            pairs[l as usize] = f64::from(n);
        }
        for ((p, (n, kinds)), pair) in p.iter_mut().zip(&self.followed).zip(pairs) {
            *p *= match *n > 0.0 {
                true => (pair + kinds * self.unigram[r]) / (n + kinds),
                false => self.unigram[r],
            };
        }
        let all: f64 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= all);
        p
    }

    /// How well the target is guessed by its frequency, by the token before it, and by those on both
    /// sides; a neighbour that is hidden is none.
    pub fn guess(&self, target: u32, left: Option<u32>, right: Option<u32>) -> [Score; 3] {
        let score = |p: &[f64]| {
            let of = p[target as usize];
            let best = p.iter().all(|other| *other <= of);
            Score { nats: -of.ln(), right: f64::from(u8::from(best)) }
        };
        [score(&self.unigram), score(&self.given_left(left)), score(&self.given_both(left, right))]
    }

    /// Entropy of the training tokens' frequencies in nats.
    pub fn entropy(&self) -> f64 {
        -self.unigram.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use athanor_data::{ShardWriter, Split};

    /// All distributions sum to one, and counts by hand.
    #[test]
    fn guesses_are_probabilities() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ShardWriter::new(dir.path(), 5, "x", 0).unwrap();
        writer.add(Split::Train, &[1, 2, 1, 2, 1, 3]).unwrap();
        writer.finish().unwrap();
        let shards = Shards::open(dir.path(), Split::Train).unwrap();
        let n = Ngrams::new(&shards, |id| id == 0);
        // 3, 2, 1, 0 of the tokens 1 to 4, and one more each.
        assert_eq!(n.unigram, [0.0, 0.4, 0.3, 0.2, 0.1]);
        for left in [None, Some(0), Some(1), Some(4)] {
            for right in [None, Some(0), Some(2), Some(3)] {
                for p in [n.given_left(left), n.given_both(left, right)] {
                    assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                    assert!(p[0] == 0.0 && p[1..].iter().all(|p| *p > 0.0));
                }
            }
        }
        // After 1: twice 2, once 3; two kinds of three.
        assert!((n.given_left(Some(1))[2] - (2.0 + 2.0 * 0.3) / 5.0).abs() < 1e-12);
        let [uni, left, both] = n.guess(2, Some(1), Some(1));
        assert!((uni.nats + 0.3f64.ln()).abs() < 1e-12 && uni.right == 0.0);
        assert!(left.right == 1.0 && both.right == 1.0 && both.nats < left.nats);
    }
}
