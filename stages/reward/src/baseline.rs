//! What a reward model must beat: TF-IDF of words and word pairs with ridge regression on the mean
//! rating, as scikit-learn's `TfidfVectorizer(ngram_range=(1, 2))` and `Ridge(alpha)` with their
//! defaults. bench/peers/tfidf_reward.py measures the original on the same files.

use std::collections::{BTreeMap, HashMap};

use athanor_data::Split;

use crate::texts::Texts;

type Row = Vec<(u32, f64)>;

/// Scores of all texts by a model fitted to those that are not held out.
pub(crate) fn tfidf(texts: &Texts) -> Vec<f64> {
    let grams: Vec<Vec<String>> = texts.all.iter().map(|t| terms(&t.answer)).collect();
    let train: Vec<usize> =
        (0..grams.len()).filter(|&i| texts.all[i].split != Split::Heldout).collect();
    let mut frequency: BTreeMap<&str, usize> = BTreeMap::new();
    for &i in &train {
        let unique: std::collections::BTreeSet<&str> =
            grams[i].iter().map(String::as_str).collect();
        for term in unique {
            *frequency.entry(term).or_default() += 1;
        }
    }
    let n = train.len() as f64;
    // Smoothed: ln((1 + n) / (1 + df)) + 1.
    let vocabulary: HashMap<&str, (u32, f64)> = frequency
        .iter()
        .enumerate()
        .map(|(i, (term, &df))| (*term, (i as u32, ((1.0 + n) / (1.0 + df as f64)).ln() + 1.0)))
        .collect();
    let rows: Vec<Row> = grams.iter().map(|g| vector(g, &vocabulary)).collect();
    let targets: Vec<f64> = train.iter().map(|&i| texts.all[i].judgement.worth()).collect();
    let mean = targets.iter().sum::<f64>() / n.max(1.0);
    let centred: Vec<f64> = targets.iter().map(|y| y - mean).collect();
    let train_rows: Vec<&Row> = train.iter().map(|&i| &rows[i]).collect();
    let weights = ridge(&train_rows, &centred, vocabulary.len(), 1.0);
    rows.iter().map(|r| r.iter().map(|&(i, x)| x * weights[i as usize]).sum()).collect()
}

/// Words of two characters and more, lower case, and pairs of neighbours.
fn terms(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|w| w.chars().nth(1).is_some())
        .collect();
    let pairs = words.windows(2).map(|w| w.join(" "));
    words.iter().map(|w| (*w).to_owned()).chain(pairs).collect()
}

/// Counts times inverse frequency, of length 1.
fn vector(terms: &[String], vocabulary: &HashMap<&str, (u32, f64)>) -> Row {
    let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
    for (index, idf) in terms.iter().filter_map(|t| vocabulary.get(t.as_str())) {
        *counts.entry(*index).or_default() += idf;
    }
    let norm = counts.values().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    counts.into_iter().map(|(i, x)| (i, x / norm)).collect()
}

/// Minimises |y - Xc·w|² + alpha·|w|², Xc being X with its columns' means taken off (an intercept),
/// by conjugate gradients on the normal equations.
fn ridge(rows: &[&Row], y: &[f64], columns: usize, alpha: f64) -> Vec<f64> {
    let n = rows.len().max(1) as f64;
    let mut means = vec![0.0; columns];
    for (i, x) in rows.iter().flat_map(|r| r.iter()) {
        means[*i as usize] += x / n;
    }
    let transpose = |v: &[f64]| {
        let total: f64 = v.iter().sum();
        let mut out: Vec<f64> = means.iter().map(|m| -m * total).collect();
        for (row, v) in rows.iter().zip(v) {
            row.iter().for_each(|&(i, x)| out[i as usize] += x * v);
        }
        out
    };
    let times = |w: &[f64]| -> Vec<f64> {
        let shift: f64 = means.iter().zip(w).map(|(m, w)| m * w).sum();
        rows.iter()
            .map(|r| r.iter().map(|&(i, x)| x * w[i as usize]).sum::<f64>() - shift)
            .collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut w = vec![0.0; columns];
    let mut residual = transpose(y);
    let mut direction = residual.clone();
    let mut norm = dot(&residual, &residual);
    let goal = norm * 1e-16;
    for _ in 0..500 {
        if norm <= goal {
            break;
        }
        let mut image = transpose(&times(&direction));
        image.iter_mut().zip(&direction).for_each(|(a, d)| *a += alpha * d);
        let step = norm / dot(&direction, &image);
        w.iter_mut().zip(&direction).for_each(|(w, d)| *w += step * d);
        residual.iter_mut().zip(&image).for_each(|(r, a)| *r -= step * a);
        let next = dot(&residual, &residual);
        let keep = next / norm;
        direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + keep * *d);
        norm = next;
    }
    w
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_those_of_scikit_learn() {
        assert_eq!(terms("A good, GOOD film!"), ["good", "good", "film", "good good", "good film"]);
    }

    #[test]
    fn ridge_solves_the_normal_equations() {
        // One column x = (0, 1, 2), y = (-1, 0, 1), alpha 1: centred x'y / (x'x + 1) = 2 / 3.
        let rows: Vec<Row> = vec![vec![], vec![(0, 1.0)], vec![(0, 2.0)]];
        let w = ridge(&rows.iter().collect::<Vec<_>>(), &[-1.0, 0.0, 1.0], 1, 1.0);
        assert!((w[0] - 2.0 / 3.0).abs() < 1e-9, "{w:?}");
    }
}
