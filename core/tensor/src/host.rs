//! Work on plain values of the host: in parallel, with vector exponentials.

use rayon::prelude::*;

use crate::backend::cpu::{math, parallel, simd::simd};

/// f(0), …, f(n - 1), in this order, on all threads. Each call must depend on its number alone; then the result
/// does not depend on the threads.
pub fn map<T: Send>(n: usize, f: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    let mut found: Vec<Option<T>> = (0..n).map(|_| None).collect();
    parallel::chunks(&mut found, 1, |i, place| place[0] = Some(f(i)));
    found.into_iter().flatten().collect()
}

/// Calls f with each item, on all threads, in no order.
pub fn each<T: Send>(items: Vec<T>, f: impl Fn(T) + Sync + Send) {
    items.into_par_iter().with_max_len(1).for_each(f);
}

simd! {
    fn exponentials_into(x: &[f32], scale: f32, top: f32, out: &mut [f32]) {
        for (o, &x) in out.iter_mut().zip(x) {
            *o = math::exp(x * scale - top);
        }
    }

    fn greatest_of(x: &[f32]) -> f32 {
        math::max(x)
    }

    fn total_of(x: &[f32]) -> f32 {
        math::sum(x)
    }
}

/// exp(x·scale - the greatest x·scale) for each value, that greatest, and the sum: what a softmax divides.
/// `scale` must not be negative.
pub fn softmax_weights(x: &[f32], scale: f32) -> (Vec<f32>, f32, f32) {
    let top = greatest_of(x) * scale;
    let mut weights = vec![0.0; x.len()];
    exponentials_into(x, scale, top, &mut weights);
    let total = total_of(&weights);
    (weights, top, total)
}

/// The place of the greatest value, the first of equal ones; 0 where nothing is greater than another.
pub fn argmax(x: &[f32]) -> usize {
    let top = greatest_of(x);
    x.iter().position(|&v| v == top).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_places_are_those_of_the_formula() {
        assert_eq!(map(5, |i| i * i), [0, 1, 4, 9, 16]);
        let x: Vec<f32> = (0..1000).map(|i| ((i * 37) % 101) as f32 / 10.0 - 5.0).collect();
        for scale in [1.0f32, 0.3, 2.5] {
            let (weights, top, total) = softmax_weights(&x, scale);
            let greatest = x.iter().copied().fold(f32::MIN, f32::max);
            assert_eq!(top, greatest * scale);
            let mut sum = 0.0f64;
            for (w, x) in weights.iter().zip(&x) {
                let want = (f64::from(*x * scale) - f64::from(top)).exp();
                assert!((f64::from(*w) - want).abs() <= 1e-6 * want, "{w} {want}");
                sum += want;
            }
            assert!((f64::from(total) - sum).abs() < 1e-6 * sum);
            assert_eq!(argmax(&x), x.iter().position(|v| *v == greatest).unwrap());
        }
        assert_eq!((argmax(&[f32::NAN; 3]), argmax(&[])), (0, 0));
    }
}
