//! From logits to a token.

use athanor_store::{Check, Problem, section};
use athanor_tensor::{Rng, host};

section! {
    /// How tokens are chosen.
    pub struct Sampling {
        /// Divides the logits before sampling; 0 takes the likeliest token.
        temperature: f64 = 1.0,
        /// Samples among that many likeliest tokens only; 0 among all.
        top_k: usize = 0,
        /// Samples among the fewest likeliest tokens whose probabilities sum to this.
        top_p: f64 = 1.0,
        /// Samples among tokens at least this share as likely as the likeliest; 0 among all.
        min_p: f64 = 0.0,
        /// Divides positive logits of tokens that are in the text already, multiplies negative ones; 1 changes nothing.
        repetition_penalty: f64 = 1.0,
        /// Tokens at most.
        max_new_tokens: usize = 64,
    }
}

impl Check for Sampling {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(
            self.temperature >= 0.0 && self.temperature.is_finite(),
            "temperature",
            "must be 0 or more",
        )?;
        Problem::unless(
            self.top_p > 0.0 && self.top_p <= 1.0,
            "top_p",
            "must be above 0 and at most 1",
        )?;
        Problem::unless((0.0..=1.0).contains(&self.min_p), "min_p", "must be 0 to 1")?;
        Problem::unless(
            self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite(),
            "repetition_penalty",
            "must be above 0",
        )?;
        Problem::unless(self.max_new_tokens > 0, "max_new_tokens", "must be at least 1")
    }
}

/// A chosen token with its log-probability under softmax(logits / temperature), before the penalty
/// and before top-k, top-p and min-p cut it: what policy gradients need. Greedy choice counts as
/// temperature 1. `text` is the text so far, the prompt included. The order is transformers':
/// penalty, temperature, top-k, top-p, min-p.
pub(crate) fn choose<'t>(
    logits: &[f32],
    sampling: &Sampling,
    text: impl Iterator<Item = &'t u32>,
    rng: Rng,
    place: u64,
) -> (u32, f32) {
    let greedy = sampling.temperature == 0.0;
    let scale = if greedy { 1.0 } else { 1.0 / sampling.temperature as f32 };
    let penalised = (sampling.repetition_penalty != 1.0).then(|| {
        let mut scores = logits.to_vec();
        penalise(&mut scores, sampling.repetition_penalty as f32, text);
        scores
    });
    let (mut weights, top, mut total) = softmax(logits, scale);
    let log_total = total.ln();
    let log_prob = |token: usize| (f64::from(logits[token] * scale - top) - log_total) as f32;
    let scores = penalised.as_deref().unwrap_or(logits);
    if greedy {
        let best = host::argmax(scores);
        return (best as u32, log_prob(best));
    }
    if penalised.is_some() {
        (weights, _, total) = softmax(scores, scale);
    }
    let kept = truncate(&mut weights, sampling, total);
    let mut left = rng.uniform_f64(place) * kept;
    let mut chosen = 0;
    for (i, &w) in weights.iter().enumerate() {
        if w > 0.0 {
            chosen = i;
            left -= f64::from(w);
            if left < 0.0 {
                break;
            }
        }
    }
    (chosen as u32, log_prob(chosen))
}

/// exp(scores·scale - greatest), that greatest, and the sum.
fn softmax(scores: &[f32], scale: f32) -> (Vec<f32>, f32, f64) {
    let (weights, top, total) = host::softmax_weights(scores, scale);
    (weights, top, f64::from(total))
}

/// Keskar et al. 2019, "CTRL", section 4.1, with transformers' rule for negative scores; a token
/// counts once.
pub(crate) fn penalise<'t>(scores: &mut [f32], penalty: f32, text: impl Iterator<Item = &'t u32>) {
    let mut seen: Vec<u32> = text.copied().collect();
    seen.sort_unstable();
    seen.dedup();
    for token in seen {
        if let Some(s) = scores.get_mut(token as usize) {
            *s = if *s < 0.0 { *s * penalty } else { *s / penalty };
        }
    }
}

/// Zeroes the weights outside of top-k, top-p (Holtzman et al. 2020) and min-p (Nguyen et al. 2024);
/// the sum of the rest. `total` is the sum of all, the greatest weight is 1.
fn truncate(weights: &mut [f32], sampling: &Sampling, total: f64) -> f64 {
    let k = if sampling.top_k == 0 { weights.len() } else { sampling.top_k.min(weights.len()) };
    if k == weights.len() && sampling.top_p >= 1.0 && sampling.min_p == 0.0 {
        return total;
    }
    let order = likeliest(weights, k, sampling, total);
    let within_k: f64 = if k == weights.len() {
        total
    } else {
        order.iter().take(k).map(|&i| f64::from(weights[i])).sum()
    };
    let mut kept = 0.0;
    let mut count = 0;
    for &i in order.iter().take(k) {
        let enough = sampling.top_p < 1.0 && kept >= sampling.top_p * within_k;
        if count > 0 && (enough || f64::from(weights[i]) < sampling.min_p) {
            break;
        }
        kept += f64::from(weights[i]);
        count += 1;
    }
    let chosen: Vec<(usize, f32)> = order[..count].iter().map(|&i| (i, weights[i])).collect();
    weights.fill(0.0);
    for (i, w) in chosen {
        weights[i] = w;
    }
    kept
}

/// Places in falling order of weight, equal ones by place; at least as many as top-k, top-p and min-p
/// can keep. A whole vocabulary is sorted only if nothing less will do.
fn likeliest(weights: &[f32], k: usize, sampling: &Sampling, total: f64) -> Vec<usize> {
    let falling = |&a: &usize, &b: &usize| weights[b].total_cmp(&weights[a]).then(a.cmp(&b));
    if k < weights.len() {
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.select_nth_unstable_by(k, falling);
        order.truncate(k);
        order.sort_unstable_by(falling);
        return order;
    }
    for least in [1e-2f32, 1e-4, 1e-6] {
        let mut order: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] >= least).collect();
        let sum: f64 = order.iter().map(|&i| f64::from(weights[i])).sum();
        // A hair more than asked for, as the sums differ in their order.
        if sum > sampling.top_p * total * (1.0 + 1e-9) || sampling.min_p >= f64::from(least) {
            order.sort_unstable_by(falling);
            return order;
        }
    }
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_unstable_by(falling);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequencies(sampling: &Sampling) -> Vec<f64> {
        let logits = [2.0f32, 1.0, 0.0, -1.0];
        let rng = Rng::new(3);
        let n = 20_000;
        let mut counts = vec![0.0; 4];
        for i in 0..n {
            counts[choose(&logits, sampling, [].iter(), rng, i).0 as usize] += 1.0 / n as f64;
        }
        counts
    }

    #[test]
    fn frequencies_follow_the_distribution() {
        let sampling = Sampling { temperature: 2.0, ..Sampling::default() };
        let weights: Vec<f64> = [2.0f64, 1.0, 0.0, -1.0].iter().map(|v| (v / 2.0).exp()).collect();
        let total: f64 = weights.iter().sum();
        for (f, w) in frequencies(&sampling).iter().zip(weights) {
            assert!((f - w / total).abs() < 0.012, "{f} {}", w / total);
        }
    }

    #[test]
    fn truncation_leaves_the_likeliest() {
        let two = frequencies(&Sampling { top_k: 2, ..Sampling::default() });
        assert!(two[2] == 0.0 && two[3] == 0.0 && (two[0] - 0.731).abs() < 0.02);
        // 0.644 alone is below 0.7, so the second comes in.
        let nucleus = frequencies(&Sampling { top_p: 0.7, ..Sampling::default() });
        assert!(nucleus[1] > 0.2 && nucleus[2] == 0.0);
        let greedy = frequencies(&Sampling { temperature: 0.0, ..Sampling::default() });
        assert!((greedy[0] - 1.0).abs() < 1e-9);
    }

    /// tests/fixtures/make_generation.py has what transformers keeps.
    #[test]
    fn what_is_kept_equals_transformers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/generation.json");
        let data: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for case in data["kept"].as_array().unwrap() {
            let list = |key: &str| -> Vec<f64> {
                case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
            };
            let mut sampling = Sampling::default();
            for (key, value) in case["settings"].as_object().unwrap() {
                let value = value.as_f64().unwrap();
                match key.as_str() {
                    "temperature" => sampling.temperature = value,
                    "top_k" => sampling.top_k = value as usize,
                    "top_p" => sampling.top_p = value,
                    "min_p" => sampling.min_p = value,
                    "repetition_penalty" => sampling.repetition_penalty = value,
                    other => panic!("{other}"),
                }
            }
            let mut scores: Vec<f32> = list("logits").iter().map(|&v| v as f32).collect();
            let text: Vec<u32> = list("text").iter().map(|&v| v as u32).collect();
            penalise(&mut scores, sampling.repetition_penalty as f32, text.iter());
            let (mut weights, _, total) = softmax(&scores, 1.0 / sampling.temperature as f32);
            let kept = truncate(&mut weights, &sampling, total);
            for (w, want) in weights.iter().zip(list("kept")) {
                let got = f64::from(*w) / kept;
                assert!((got - want).abs() < 1e-6, "{}: {got} {want}", case["settings"]);
                assert_eq!(got == 0.0, want == 0.0, "{}", case["settings"]);
            }
        }
    }
}
