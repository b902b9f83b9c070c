//! Perplexity bands: an n-gram model of a good source says how usual a text is (CCNet, Wenzek et al. 2020,
//! <https://arxiv.org/abs/1911.00359>, section 3.3): the head reads like the good source, the tail does not. Where
//! the bands begin is counted on the documents of the sources that are judged, each language by itself, since
//! perplexities of different languages cannot be compared: a third each by default. Simplified and traditional
//! Chinese are two: they share too few characters for one to be judged by the other. (To convert one into the other
//! needs a table, and characters that have several counterparts; and a text would be judged by a model of texts
//! from elsewhere.) A source counts by its number of documents, estimated from the part that was read.
//!
//! CCNet trains a 5-gram Kneser-Ney model on SentencePiece tokens of Wikipedia, one for each language. Here the
//! model is trained on the spot: interpolated Witten-Bell n-grams (Chen and Goodman 1999, section 2.4) over normalised
//! words, an ideograph being a word, in hashed tables, so one model serves all languages that
//! the good source has. The probability of a word that was never seen is spread over `vocabulary` words.
//! Perplexity is per word, over the first `words` of a text. A document in a language of which the good sources
//! have nearly nothing, or the examples nothing, is not judged, but kept.

use std::collections::{BTreeMap, HashMap};

use athanor_data::splitmix64;
use athanor_store::{Check, Error, Problem, Result, section};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{
    Outcome, Preparation, Step,
    grams::{self, Fast},
    language, parameters, script,
};
use crate::Document;

section! {
    /// Perplexity bands.
    pub struct Perplexity {
        /// Names of the sources that the model learns from; they are not judged.
        good: Vec<String> = Vec::new(),
        /// Names of the sources that are judged.
        raw: Vec<String> = Vec::new(),
        /// Bands that are kept: "head", "middle", "tail".
        keep: Vec<String> = vec!["head".to_string(), "middle".to_string()],
        /// The shares of the judged documents in head, and in head and middle.
        shares: Vec<f64> = vec![1.0 / 3.0, 2.0 / 3.0],
        /// Words of an n-gram.
        order: usize = 3,
        /// Words of the good sources to learn from.
        train_words: usize = 5_000_000,
        /// Documents of the judged sources by which the bands are found, the first ones of each.
        examples: usize = 20_000,
        /// Bands of each language by itself, of Chinese each script. Otherwise one set for all, which divides
        /// languages rather than texts.
        by_language: bool = true,
        /// Words of a document that are looked at.
        words: usize = 1000,
        /// Words that an unknown one may be.
        vocabulary: f64 = 1_000_000.0,
    }
}

const BANDS: [&str; 3] = ["head", "middle", "tail"];
/// Words of a language from which on the good sources are said to have it.
const FEW_WORDS: usize = 1000;

impl Check for Perplexity {
    fn check(&self) -> std::result::Result<(), Problem> {
        for (i, band) in self.keep.iter().enumerate() {
            Problem::unless_one_of(format!("keep.{i}"), band, &BANDS)?;
        }
        Problem::unless(!self.keep.is_empty(), "keep", "names no band: nothing would be left")?;
        let rising = matches!(self.shares[..], [a, b] if 0.0 < a && a <= b && b <= 1.0);
        Problem::unless(rising, "shares", "must be two rising shares, such as [0.33, 0.67]")?;
        Problem::unless((1..=6).contains(&self.order), "order", "must be in 1..6")?;
        Problem::unless(self.words >= 10, "words", "must be at least 10")?;
        Problem::unless(self.vocabulary >= 2.0, "vocabulary", "must be at least 2")
    }
}

impl Step for Perplexity {
    fn apply(&self, _: &str) -> Outcome {
        Outcome::Keep
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }

    fn learns_from(&self) -> Vec<String> {
        self.good.iter().chain(&self.raw).cloned().collect()
    }

    fn prepare(&self, preparation: &Preparation) -> Result<Option<Box<dyn Step>>> {
        for (key, names) in [("good", &self.good), ("raw", &self.raw)] {
            if names.is_empty() {
                return Err(Error::input(format!("`{key}` names no source"))
                    .hint("give names of [[corpus.sources]] in [corpus.settings.perplexity]"));
            }
        }
        let mut model = Model::new(self.order, self.vocabulary);
        let mut good: BTreeMap<&str, usize> = BTreeMap::new();
        for (n, name) in self.good.iter().enumerate() {
            // Each source its share of what is left: the first does not take all.
            let most = share(self.train_words, model.words, self.good.len() - n);
            preparation.texts(name, &mut |text| {
                let words = words_of(&text, usize::MAX);
                *good.entry(self.group(&text, "")).or_default() += words.len();
                model.learn(&words);
                model.words < most
            })?;
        }
        if model.words == 0 {
            return Err(Error::input("the good sources have no words"));
        }
        let mut texts = Vec::new();
        let mut sources = Vec::new();
        for (n, name) in self.raw.iter().enumerate() {
            let first = texts.len();
            let most = share(self.examples, first, self.raw.len() - n);
            let read = preparation.texts(name, &mut |text| {
                texts.push((text, 0.0));
                texts.len() < most
            })?;
            // Each stands for as many documents as its source has for each that was read.
            let weight = 1.0 / read.max(1e-9);
            texts[first..].iter_mut().for_each(|t| t.1 = weight);
            let examples = texts.len() - first;
            sources.push(json!({"source": name, "examples": examples, "share_read": read}));
        }
        let score = |(text, weight): &(String, f64)| {
            let group = self.group(text, "");
            Some((group, model.perplexity(&words_of(text, self.words))?, *weight))
        };
        let scores: Vec<(&'static str, f64, f64)> = texts.par_iter().filter_map(score).collect();
        if scores.is_empty() {
            return Err(Error::input("the judged sources have no words"));
        }
        let mut groups: BTreeMap<&'static str, Vec<(f64, f64)>> = BTreeMap::new();
        for (group, perplexity, weight) in scores {
            groups.entry(group).or_default().push((perplexity, weight));
        }
        let (mut bounds, mut bands, mut not_judged) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (group, mut found) in groups {
            let words = good.get(group).copied().unwrap_or(0);
            if words < FEW_WORDS {
                not_judged
                    .push(json!({"language": group, "good_words": words, "examples": found.len()}));
                continue;
            }
            found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let at = |share: f64| quantile(&found, share);
            let own = [at(self.shares[0]), at(self.shares[1])];
            bounds.insert(group, own);
            bands.push(json!({
                "language": group,
                "good_words": words,
                "examples": found.len(),
                "bounds": own,
                "percentiles": (0..=20).map(|n| at(f64::from(n) / 20.0)).collect::<Vec<_>>(),
            }));
        }
        let notes = json!({
            "train_words": model.words,
            "sources": sources,
            "bands": bands,
            "not_judged": not_judged,
        });
        let judged = preparation.sources.iter().map(|s| self.raw.contains(&s.name)).collect();
        let section = self.clone();
        Ok(Some(Box::new(Judge { section, model, bounds, judged, notes })))
    }
}

impl Perplexity {
    /// Whose bands are a text's: its language's and script's, or all the same.
    fn group(&self, text: &str, known: &'static str) -> &'static str {
        if self.by_language { language::written(text, known) } else { "" }
    }
}

/// Up to where the next of `sources` sources goes, so that all have the same where they can.
fn share(whole: usize, taken: usize, sources: usize) -> usize {
    taken + whole.saturating_sub(taken).div_ceil(sources.max(1))
}

/// The value below which a share of the weight lies, of values with their weights in rising order.
fn quantile(sorted: &[(f64, f64)], share: f64) -> f64 {
    let mut left = share * sorted.iter().map(|s| s.1).sum::<f64>();
    for (value, weight) in sorted {
        left -= weight;
        if left < 0.0 {
            return *value;
        }
    }
    sorted.last().map_or(f64::NAN, |s| s.0)
}

/// Hashes of a text's words.
fn words_of(text: &str, most: usize) -> Vec<u64> {
    let normal = script::normal(text);
    script::words(&normal).into_iter().take(most).map(grams::hash).collect()
}

/// Counts of n-grams by their hash: how often each came, and after each context how many words in all and how
/// many different ones.
struct Model {
    order: usize,
    vocabulary: f64,
    words: usize,
    grams: HashMap<u64, u32, Fast>,
    contexts: HashMap<u64, (u32, u32), Fast>,
}

impl Model {
    fn new(order: usize, vocabulary: f64) -> Self {
        let (grams, contexts) = (HashMap::default(), HashMap::default());
        Self { order, vocabulary, words: 0, grams, contexts }
    }

    /// The hash of a context.
    fn context(words: &[u64]) -> u64 {
        words.iter().fold(words.len() as u64, |h, w| splitmix64(h.rotate_left(11) ^ w))
    }

    fn gram(context: u64, word: u64) -> u64 {
        splitmix64(context ^ word.rotate_left(32))
    }

    fn learn(&mut self, words: &[u64]) {
        self.words += words.len();
        for (at, &word) in words.iter().enumerate() {
            for n in 0..self.order.min(at + 1) {
                let context = Self::context(&words[at - n..at]);
                let times = self.grams.entry(Self::gram(context, word)).or_default();
                *times += 1;
                let seen = self.contexts.entry(context).or_default();
                seen.0 += 1;
                seen.1 += u32::from(*times == 1);
            }
        }
    }

    /// Chen and Goodman's equation 15: λ is known words over all and different ones.
    fn probability(&self, before: &[u64], word: u64) -> f64 {
        let mut p = 1.0 / self.vocabulary;
        for n in 0..=before.len() {
            let context = Self::context(&before[before.len() - n..]);
            let Some(&(all, different)) = self.contexts.get(&context) else { break };
            let (all, different) = (f64::from(all), f64::from(different));
            let times = self.grams.get(&Self::gram(context, word)).copied().unwrap_or(0);
            p = (f64::from(times) + different * p) / (all + different);
        }
        p
    }

    /// None for a text without words.
    fn perplexity(&self, words: &[u64]) -> Option<f64> {
        let nats: f64 = (0..words.len())
            .map(|at| self.probability(&words[at.saturating_sub(self.order - 1)..at], words[at]))
            .map(|p| -p.ln())
            .sum();
        (!words.is_empty()).then(|| (nats / words.len() as f64).exp())
    }
}

/// The trained model at work.
struct Judge {
    section: Perplexity,
    model: Model,
    /// Where middle and tail begin, by language.
    bounds: BTreeMap<&'static str, [f64; 2]>,
    judged: Vec<bool>,
    notes: Value,
}

impl Judge {
    fn band(&self, text: &str, language: &'static str) -> Outcome {
        let Some(bounds) = self.bounds.get(self.section.group(text, language)) else {
            return Outcome::Keep;
        };
        let words = words_of(text, self.section.words);
        let Some(perplexity) = self.model.perplexity(&words) else {
            return Outcome::Drop("no words");
        };
        let band = bounds.iter().filter(|b| perplexity >= **b).count();
        if self.section.keep.iter().any(|k| k == BANDS[band]) {
            return Outcome::Keep;
        }
        Outcome::Drop(["perplexity: head", "perplexity: middle", "perplexity: tail"][band])
    }
}

impl Step for Judge {
    fn apply(&self, text: &str) -> Outcome {
        self.band(text, "")
    }

    fn judge(&self, document: &Document) -> Outcome {
        if !self.judged[document.source] {
            return Outcome::Keep;
        }
        self.band(&document.text, document.language)
    }

    fn parameters(&self) -> Value {
        parameters(&self.section)
    }

    fn notes(&self) -> Value {
        self.notes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_heed_weights() {
        let plain: Vec<_> = (0..9).map(|n| (f64::from(n), 1.0)).collect();
        let at = |share| quantile(&plain, share);
        assert_eq!([at(0.0), at(1.0 / 3.0), at(0.5), at(1.0)], [0.0, 3.0, 4.0, 8.0]);
        // One that stands for three.
        let weighted = [(1.0, 1.0), (2.0, 3.0), (3.0, 1.0)];
        let at = |share| quantile(&weighted, share);
        assert_eq!([at(0.1), at(0.3), at(0.7), at(0.9)], [1.0, 2.0, 2.0, 3.0]);
    }

    #[test]
    fn probabilities_add_up_and_order_texts() {
        let learnt = "the cat sat on the mat and the dog sat on the rug and the cat saw the dog";
        let mut model = Model::new(3, 1000.0);
        let words = |t: &str| words_of(t, usize::MAX);
        model.learn(&words(learnt));
        // Over the words that were seen and the others of the vocabulary.
        let mut seen = words(learnt);
        seen.sort_unstable();
        seen.dedup();
        for before in
            [words(""), words("the"), words("sat on"), words("never seen"), words("seen the")]
        {
            let known: f64 = seen.iter().map(|&w| model.probability(&before, w)).sum();
            let unknown = model.probability(&before, 12345) * (1000.0 - seen.len() as f64);
            assert!((known + unknown - 1.0).abs() < 1e-9, "{before:?}: {known} + {unknown}");
        }
        let of = |t: &str| model.perplexity(&words(t)).unwrap();
        assert!(of("the cat sat on the rug") < of("rug the on sat cat the"));
        assert!(of("rug the on sat cat the") < of("quantum flux capacitors never lie"));
        assert!(model.perplexity(&[]).is_none());
        // Ideographs are words.
        let mut chinese = Model::new(2, 1000.0);
        chinese.learn(&words("春眠不覺曉處處聞啼鳥"));
        let of = |t: &str| chinese.perplexity(&words(t)).unwrap();
        assert!(of("春眠不覺曉") < of("曉覺不眠春") && of("曉覺不眠春") < of("夜來風雨聲"));
    }
}
