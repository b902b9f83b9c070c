//! The policy on held-out requests: reward, distance from the reference, variety.

use std::collections::HashSet;

use athanor_generation::Sampling;
use athanor_models::Model;
use athanor_store::Result;
use athanor_text::Tokenizer;
use athanor_training::Sample;

use crate::{
    prompts::Prompt,
    rewards::Reward,
    rollout::{answer, measure},
};

/// Requests that are answered at once.
pub(crate) const TOGETHER: usize = 64;

/// What is measured with.
pub(crate) struct Bench<'a> {
    pub tokenizer: &'a Tokenizer,
    pub reference: &'a Model,
    pub reward: &'a dyn Reward,
    pub stops: &'a [u32],
    pub sampling: Sampling,
    pub seed: u64,
}

/// Figures over held-out requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    pub reward: f64,
    pub reward_std: f64,
    /// Mean over answers of Σ ln π - ln π_ref.
    pub kl: f64,
    /// Different pairs of neighbouring words over all pairs.
    pub distinct2: f64,
    pub length: f64,
    /// Share of answers that came to their end.
    pub finished: f64,
}

impl Bench<'_> {
    /// Answers `prompts` and measures.
    pub fn stand(&self, model: &Model, prompts: &[Prompt]) -> Result<Standing> {
        let (mut rewards, mut texts, mut kl, mut length, mut finished) =
            (Vec::new(), Vec::new(), 0.0, 0, 0);
        for (i, chunk) in prompts.chunks(TOGETHER).enumerate() {
            let chunk: Vec<&Prompt> = chunk.iter().collect();
            let seed = athanor_tensor::splitmix64(self.seed ^ i as u64);
            let answers = answer(model, &chunk, self.stops, &self.sampling, seed)?;
            rewards.extend(self.reward.score(&answers)?);
            let own = measure(model, &answers, self.sampling.temperature, false);
            let reference = measure(self.reference, &answers, self.sampling.temperature, false);
            kl += sum(&own.log_probs) - sum(&reference.log_probs);
            for a in &answers {
                length += a.written().len();
                finished += usize::from(a.finished);
                texts.push(self.tokenizer.decode(a.written())?);
            }
        }
        let n = rewards.len().max(1) as f64;
        let (reward, reward_std) = mean_std(&rewards);
        Ok(Standing {
            reward,
            reward_std,
            kl: kl / n,
            distinct2: distinct2(&texts),
            length: length as f64 / n,
            finished: finished as f64 / n,
        })
    }

    /// Samples with their rewards.
    pub fn samples(&self, model: &Model, prompts: &[Prompt]) -> Result<Vec<Sample>> {
        let all: Vec<&Prompt> = prompts.iter().collect();
        let answers = answer(model, &all, self.stops, &self.sampling, self.seed)?;
        let rewards = self.reward.score(&answers)?;
        prompts
            .iter()
            .zip(answers.iter().zip(rewards))
            .map(|(p, (a, r))| {
                Ok(Sample {
                    prompt: p.text.clone(),
                    text: self.tokenizer.decode(a.written())?,
                    reward: Some(r),
                })
            })
            .collect()
    }
}

fn sum(rows: &[Vec<f32>]) -> f64 {
    rows.iter().flatten().map(|&x| f64::from(x)).sum()
}

/// Mean and standard deviation (of the sample).
pub(crate) fn mean_std(x: &[f64]) -> (f64, f64) {
    let n = x.len().max(1) as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, variance.sqrt())
}

/// Distinct-2 of Li et al. 2016, "A diversity-promoting objective function": different pairs of
/// words over the number of pairs, all texts together. A Chinese character counts as a word.
pub(crate) fn distinct2(texts: &[String]) -> f64 {
    let mut seen = HashSet::new();
    let mut pairs = 0usize;
    for text in texts {
        let words = words(text);
        for pair in words.windows(2) {
            pairs += 1;
            seen.insert((pair[0].clone(), pair[1].clone()));
        }
    }
    seen.len() as f64 / pairs.max(1) as f64
}

fn words(text: &str) -> Vec<String> {
    let spaced: String = text
        .chars()
        .flat_map(|c| {
            let wide = matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}');
            if wide { vec![' ', c, ' '] } else { vec![c] }
        })
        .collect();
    spaced.split_whitespace().map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_pairs() {
        let all = |t: &[&str]| distinct2(&t.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(all(&["a b a b"]), 2.0 / 3.0);
        assert_eq!(all(&["a b", "A B"]), 0.5);
        assert_eq!(all(&["很好看"]), 1.0);
        assert_eq!(all(&[""]), 0.0);
    }

    #[test]
    fn moments() {
        assert_eq!(mean_std(&[1.0, 3.0]), (2.0, 2.0f64.sqrt()));
        assert_eq!(mean_std(&[]), (0.0, 0.0));
    }
}
