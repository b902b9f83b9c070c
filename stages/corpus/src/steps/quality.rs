//! A quality classifier, trained on the spot: which of two sources does a document look like? Logistic
//! regression over hashed words and pairs of words (ideographs in Chinese), as GPT-3's filter has it
//! (Brown et al. 2020, <https://arxiv.org/abs/2005.14165>, appendix A) and in the shape of fastText (Joulin
//! et al. 2017, <https://arxiv.org/abs/1607.01759>): a document's features have the same weight, and
//! together length 1. Trained by stochastic gradient descent; the same recipe gives the same weights.
//!
//! The account has how well the classifier separates the two: the area under the ROC curve, each document
//! scored by a model that has not seen it (cross-validation). At 0.5 the sources are alike, and the step
//! is of no use; near 1 it may have learnt where the texts come from rather than how good they are.

use athanor_data::splitmix64;
use athanor_store::{Check, Error, Problem, Result, section};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{Outcome, Preparation, Step, grams, parameters, script};
use crate::Document;

section! {
    /// The quality classifier.
    pub struct Quality {
        /// Names of the sources that are good.
        good: Vec<String> = Vec::new(),
        /// Names of the sources that are raw: those are judged.
        raw: Vec<String> = Vec::new(),
        /// Documents of the raw sources with a lower score (0 to 1) go.
        min_score: f64 = 0.2,
        /// Documents of each class to train on, the first ones.
        examples: usize = 5000,
        /// Words of a document that are looked at.
        words: usize = 1000,
        /// Weights are 2 to this power.
        bits: usize = 20,
        /// Passes over the examples.
        epochs: usize = 4,
        /// Step size at the beginning; it falls to 0.
        learning_rate: f64 = 2.0,
        /// Parts of the cross-validation.
        folds: usize = 5,
    }
}

impl Check for Quality {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless((0.0..=1.0).contains(&self.min_score), "min_score", "must be in 0..1")?;
        Problem::unless((8..=28).contains(&self.bits), "bits", "must be in 8..28")?;
        Problem::unless((2..=100).contains(&self.folds), "folds", "must be in 2..100")
    }
}

impl Step for Quality {
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
        let mut examples: Vec<(Vec<u32>, bool)> = Vec::new();
        let mut counts = [0, 0];
        for (class, names) in [(true, &self.good), (false, &self.raw)] {
            let key = if class { "good" } else { "raw" };
            if names.is_empty() {
                return Err(Error::input(format!("`{key}` names no source"))
                    .hint("give names of [[corpus.sources]] in [corpus.settings.quality]"));
            }
            for name in names {
                let mut texts = Vec::new();
                preparation.texts(name, &mut |text| {
                    texts.push(text);
                    texts.len() < self.examples
                })?;
                counts[usize::from(class)] += texts.len();
                let features: Vec<Vec<u32>> = texts.par_iter().map(|t| self.features(t)).collect();
                examples.extend(features.into_iter().map(|f| (f, class)));
            }
        }
        if counts.contains(&0) {
            return Err(Error::input("a class of the quality classifier has no documents"));
        }
        let judged = preparation.sources.iter().map(|s| self.raw.contains(&s.name)).collect();
        let scores: Vec<Vec<(f64, bool)>> = (0..self.folds)
            .into_par_iter()
            .map(|fold| {
                let mine = |n: usize| splitmix64(n as u64) % self.folds as u64 == fold as u64;
                let weights = self.train(&examples, |n| !mine(n));
                let held = examples.iter().enumerate().filter(|(n, _)| mine(*n));
                held.map(|(_, (f, class))| (score(&weights, f), *class)).collect()
            })
            .collect();
        let scores = scores.concat();
        let notes = json!({
            "good_examples": counts[1],
            "raw_examples": counts[0],
            "cross_validated_roc_auc": area(&scores),
            "folds": self.folds,
            "roc": curve(&scores),
        });
        let weights = self.train(&examples, |_| true);
        Ok(Some(Box::new(Judge { section: self.clone(), weights, judged, notes })))
    }
}

impl Quality {
    /// A text's features, each once.
    fn features(&self, text: &str) -> Vec<u32> {
        let normal = script::normal(text);
        let words = script::words(&normal);
        let hashes: Vec<u64> = words.iter().take(self.words).map(|w| grams::hash(w)).collect();
        let mask = (1u64 << self.bits) - 1;
        let one = hashes.iter().map(|&h| (splitmix64(h) & mask) as u32);
        let two = hashes.windows(2).map(|w| (splitmix64(w[0].rotate_left(9) ^ w[1]) & mask) as u32);
        let mut out: Vec<u32> = one.chain(two).collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    fn train(&self, examples: &[(Vec<u32>, bool)], take: impl Fn(usize) -> bool) -> Vec<f32> {
        let mut weights = vec![0f32; (1 << self.bits) + 1];
        let mut order: Vec<usize> = (0..examples.len()).filter(|&n| take(n)).collect();
        let good = order.iter().filter(|&&n| examples[n].1).count().max(1);
        let raw = (order.len() - good.min(order.len())).max(1);
        let steps = (order.len() * self.epochs).max(1);
        let mut step = 0;
        for epoch in 0..self.epochs {
            order.sort_by_key(|&n| (splitmix64(splitmix64(epoch as u64) ^ n as u64), n));
            for &n in &order {
                let rate = self.learning_rate * (1.0 - step as f64 / steps as f64);
                step += 1;
                let (features, class) = &examples[n];
                // Both classes weigh the same, however many documents they have.
                let count = if *class { good } else { raw };
                let weight = order.len() as f64 / (2.0 * count as f64);
                let error = f64::from(u8::from(*class)) - score(&weights, features);
                let change = (rate * weight * error) as f32;
                let each = change / (features.len().max(1) as f32).sqrt();
                for &feature in features {
                    weights[feature as usize] += each;
                }
                weights[1 << self.bits] += change * 0.1;
            }
        }
        weights
    }
}

/// The probability that a text is of the good class.
fn score(weights: &[f32], features: &[u32]) -> f64 {
    let sum: f32 = features.iter().map(|&f| weights[f as usize]).sum();
    let bias = weights.last().copied().unwrap_or(0.0);
    let logit = f64::from(sum / (features.len().max(1) as f32).sqrt() + bias);
    1.0 / (1.0 + (-logit).exp())
}

/// The area under the ROC curve: the chance that a good one scores above a raw one, ties half.
fn area(scores: &[(f64, bool)]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut area) = (0.0, 0.0);
    for ties in sorted.chunk_by(|a, b| a.0 == b.0) {
        let good = ties.iter().filter(|s| s.1).count() as f64;
        let raw = ties.len() as f64 - good;
        area += good * (below + raw / 2.0);
        below += raw;
    }
    let good = scores.iter().filter(|s| s.1).count() as f64;
    area / (good * (scores.len() as f64 - good)).max(1.0)
}

/// What is kept of each class at thresholds 0, 0.1, … 1: threshold, raw, good.
fn curve(scores: &[(f64, bool)]) -> Vec<[f64; 3]> {
    let kept = |class: bool, least: f64| {
        let of = scores.iter().filter(|s| s.1 == class);
        let all = of.clone().count().max(1) as f64;
        of.filter(|s| s.0 >= least).count() as f64 / all
    };
    (0..=10).map(|n| f64::from(n) / 10.0).map(|t| [t, kept(false, t), kept(true, t)]).collect()
}

/// The trained classifier.
struct Judge {
    section: Quality,
    weights: Vec<f32>,
    judged: Vec<bool>,
    notes: Value,
}

impl Step for Judge {
    fn apply(&self, text: &str) -> Outcome {
        let score = score(&self.weights, &self.section.features(text));
        if score < self.section.min_score {
            Outcome::Drop("low quality score")
        } else {
            Outcome::Quality(score as f32)
        }
    }

    fn judge(&self, document: &Document) -> Outcome {
        if self.judged[document.source] { self.apply(&document.text) } else { Outcome::Keep }
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
    fn areas() {
        assert_eq!(area(&[(0.1, false), (0.9, true)]), 1.0);
        assert_eq!(area(&[(0.5, false), (0.5, true)]), 0.5);
        assert_eq!(area(&[(0.9, false), (0.1, true), (0.95, true)]), 0.5);
    }
}
