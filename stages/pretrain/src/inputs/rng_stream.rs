//! Random choices, one after the other, from a counted stream.

use athanor_tensor::Rng;

/// A stream of random numbers that is used up from its beginning.
#[derive(Clone, Copy, Debug)]
pub struct RngStream {
    rng: Rng,
    next: u64,
}

impl RngStream {
    /// From the beginning of a stream.
    pub fn new(rng: Rng) -> Self {
        Self { rng, next: 0 }
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.next += 1;
        self.rng.uniform_f64(self.next - 1)
    }

    /// A whole number below `n` (at least 1).
    pub fn below(&mut self, n: usize) -> usize {
        self.next += 1;
        self.rng.below(self.next - 1, n.max(1) as u64) as usize
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Shuffles in place: Fisher and Yates, Durstenfeld 1964.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// A length from 1 to `most` with P(n) ∝ p·(1-p)^(n-1): geometric, cut off, as in SpanBERT.
    pub fn geometric(&mut self, p: f64, most: usize) -> usize {
        let weight = |n: usize| p * (1.0 - p).powi(n as i32 - 1);
        let all: f64 = (1..=most).map(weight).sum();
        let mut left = self.uniform() * all;
        for n in 1..most {
            left -= weight(n);
            if left < 0.0 {
                return n;
            }
        }
        most.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SpanBERT's p = 0.2 and 10 give a mean of 3.8 (Joshi et al. 2020, section 3.1).
    #[test]
    fn spans_have_the_papers_mean_length() {
        let mut draw = RngStream::new(Rng::new(7).fork("spans"));
        let n = 20_000;
        let mut counts = [0usize; 11];
        for _ in 0..n {
            counts[draw.geometric(0.2, 10)] += 1;
        }
        let mean: f64 =
            counts.iter().enumerate().map(|(l, &c)| l as f64 * c as f64).sum::<f64>() / n as f64;
        assert!((mean - 3.8).abs() < 0.06, "{mean}");
        assert_eq!(counts[0], 0);
        // Each length is 0.8 times as common as the one before.
        for l in 1..8 {
            let ratio = counts[l + 1] as f64 / counts[l] as f64;
            assert!((ratio - 0.8).abs() < 0.08, "{counts:?}");
        }
        assert_eq!(draw.geometric(0.2, 1), 1);
    }

    #[test]
    fn shuffles_are_even() {
        let mut draw = RngStream::new(Rng::new(3));
        let mut first = [0usize; 4];
        for _ in 0..8000 {
            let mut items = [0, 1, 2, 3];
            draw.shuffle(&mut items);
            first[items[0]] += 1;
        }
        assert!(first.iter().all(|&n| (1850..2150).contains(&n)), "{first:?}");
    }
}
