//! From logits to a token.

use athanor_store::{Check, Problem, section};
use athanor_tensor::Rng;

section! {
    /// How tokens are chosen.
    pub struct Sampling {
        /// Divides the logits before sampling; 0 takes the likeliest token.
        temperature: f64 = 1.0,
        /// Samples among that many likeliest tokens only; 0 among all.
        top_k: usize = 0,
        /// Samples among the fewest likeliest tokens whose probabilities sum to this.
        top_p: f64 = 1.0,
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
        Problem::unless(self.max_new_tokens > 0, "max_new_tokens", "must be at least 1")
    }
}

/// A chosen token with its log-probability under softmax(logits / temperature), before top-k and
/// top-p cut it: what policy gradients need. Greedy choice counts as temperature 1.
pub(crate) fn choose(logits: &[f32], sampling: &Sampling, rng: Rng, place: u64) -> (u32, f32) {
    let greedy = sampling.temperature == 0.0;
    let scale = if greedy { 1.0 } else { 1.0 / sampling.temperature as f32 };
    let top = logits.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v)) * scale;
    let mut weights: Vec<f32> = logits.iter().map(|&v| (v * scale - top).exp()).collect();
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    let log_prob = |token: usize| (f64::from(logits[token] * scale - top) - total.ln()) as f32;
    if greedy {
        let best =
            (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
        return (best as u32, log_prob(best));
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

/// Zeroes the weights outside of top-k and top-p (Holtzman et al. 2020); the sum of the rest.
fn truncate(weights: &mut [f32], sampling: &Sampling, total: f64) -> f64 {
    let k = if sampling.top_k == 0 { weights.len() } else { sampling.top_k.min(weights.len()) };
    if k == weights.len() && sampling.top_p >= 1.0 {
        return total;
    }
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
    let within_k: f64 = order[..k].iter().map(|&i| f64::from(weights[i])).sum();
    let mut kept = 0.0;
    let mut count = 0;
    for &i in &order[..k] {
        if count > 0 && kept >= sampling.top_p * within_k {
            break;
        }
        kept += f64::from(weights[i]);
        count += 1;
    }
    for &i in &order[count..] {
        weights[i] = 0.0;
    }
    kept
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
            counts[choose(&logits, sampling, rng, i).0 as usize] += 1.0 / n as f64;
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
}
