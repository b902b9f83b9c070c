//! How two lists of numbers go together, as scipy 1.17 has it.

/// Pearson's correlation of two lists of one length: `scipy.stats.pearsonr`. 0 where one of them does not
/// vary, where scipy has no number.
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
    let (mx, my) = (mean(x), mean(y));
    let both: f64 = x.iter().zip(y).map(|(a, b)| (a - mx) * (b - my)).sum();
    let spread = |v: &[f64], m: f64| v.iter().map(|a| (a - m).powi(2)).sum::<f64>().sqrt();
    let all = spread(x, mx) * spread(y, my);
    if all > 0.0 { (both / all).clamp(-1.0, 1.0) } else { 0.0 }
}

/// Spearman's correlation, Pearson's of the ranks: `scipy.stats.spearmanr`. Equal numbers share the mean
/// of their ranks.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    pearson(&ranks(x), &ranks(y))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut rest = &order[..];
    let mut below = 0;
    while let Some(&first) = rest.first() {
        let equal = rest.iter().take_while(|&&i| values[i] == values[first]).count().max(1);
        let rank = below as f64 + (equal as f64 + 1.0) / 2.0;
        rest[..equal].iter().for_each(|&i| ranks[i] = rank);
        below += equal;
        rest = &rest[equal..];
    }
    ranks
}
