//! What the tests of matrix products share: sizes, numbers, and the f64 sum that each output has to equal.

/// m, n and k: single numbers, odd rests of every block, a whole panel.
pub(super) const SIZES: [[usize; 3]; 9] = [
    [1, 1, 1],
    [3, 5, 7],
    [9, 130, 33],
    [32, 67, 100],
    [17, 32, 16],
    [41, 300, 513],
    [8, 64, 1],
    [8, 64, 4],
    [25, 33, 65],
];

/// Normal values.
pub(super) fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut x = vec![0.0; n];
    crate::Rng::new(seed).fill_normal(&mut x, 0.0, 1.0);
    x
}

/// Checks an output against the sum of its products, within a share of the sum of their sizes.
pub(super) fn assert_sum(name: &str, got: f32, terms: impl Iterator<Item = f64>, share: f64) {
    let (want, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + f64::abs(t)));
    let off = (f64::from(got) - want).abs();
    assert!(off <= share * size, "{name}: {got}, not {want}");
}
