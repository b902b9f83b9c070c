//! Figures of texts and numbers.

use std::collections::HashSet;

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
