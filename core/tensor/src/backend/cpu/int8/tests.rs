//! Against f64 products of the very numbers that quantising left, by every kernel of this processor.

use proptest::prelude::*;

use super::*;
use crate::backend::cpu::reference::{SIZES, assert_sum, noise};

/// What the weights are after quantising: weight (i, j) at [j, i], rows of whole blocks.
fn quantised(w: Mat<'_>, k: usize, n: usize) -> Vec<f64> {
    let columns: Vec<f32> = (0..n)
        .flat_map(|j| (0..k).map(move |i| w.data[i * w.row_stride + j * w.col_stride]))
        .collect();
    Rows::new(&columns, k, false).values()
}

/// All kernels, all rows at once and each alone, on one and two threads.
fn check([m, n, k]: [usize; 3], x: &[f32], w: Mat<'_>) {
    let weights = Weights::new(w, k, n);
    let (xq, wq) = (Rows::new(x, k, false).values(), quantised(w, k, n));
    let width = k.div_ceil(BLOCK) * BLOCK;
    let two = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    for &kernel in Kernel::all() {
        let run = |x: &[f32], m: usize, threads| {
            let mut out = vec![7.0f32; m * n];
            weights.product_by(kernel, x, m, &mut out, threads);
            out
        };
        let all = run(x, m, false);
        assert_eq!(all, two.install(|| run(x, m, true)), "{kernel:?} {m} {n} {k}: threads");
        for i in 0..m {
            let alone = run(&x[i * k..(i + 1) * k], 1, false);
            assert_eq!(alone[..], all[i * n..(i + 1) * n], "{kernel:?} {m} {n} {k}: row {i}");
            for (j, got) in alone.iter().enumerate() {
                let terms =
                    xq[i * width..(i + 1) * width].iter().zip(&wq[j * width..(j + 1) * width]);
                let name = format!("{kernel:?} {m} {n} {k}");
                assert_sum(&name, *got, terms.map(|(x, w)| x * w), 1e-5);
            }
        }
    }
}

#[test]
fn matches_f64_and_no_row_depends_on_the_others() {
    for [m, n, k] in SIZES {
        let (x, w) = (noise(m * k, 1), noise(n * k, 2));
        // Stored [out, in], and [in, out].
        check([m, n, k], &x, Mat::new(&w, k).t());
        check([m, n, k], &x, Mat::new(&w, n));
    }
}

#[test]
fn the_largest_sums_fit() {
    let (m, n, k) = (9, 33, 96);
    for signs in [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]] {
        let (x, w) = (vec![signs[0]; m * k], vec![signs[1]; n * k]);
        check([m, n, k], &x, Mat::new(&w, k).t());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_shape(m in 1usize..20, n in 1usize..100, k in 1usize..200, seed in 0u64..1000, power in -25i32..25) {
        let mut x = noise(m * k, seed);
        let w = noise(n * k, seed + 1);
        x.iter_mut().step_by(7).for_each(|x| *x *= 2.0f32.powi(power));
        check([m, n, k], &x, Mat::new(&w, k).t());
    }

    /// A number is off by half a step of its block at most, and zero stays zero.
    #[test]
    fn quantising_is_to_the_nearest(seed in 0u64..1000, power in -60i32..60) {
        let x: Vec<f32> = noise(3 * BLOCK, seed).iter().map(|x| x * 2.0f32.powi(power)).collect();
        let got = Rows::new(&x, 3 * BLOCK, false).values();
        for (x, got) in x.chunks(BLOCK).zip(got.chunks(BLOCK)) {
            let top = x.iter().fold(0.0f32, |a, x| a.max(x.abs()));
            for (x, got) in x.iter().zip(got) {
                let off = (f64::from(*x) - got).abs();
                prop_assert!(off <= 0.5001 * f64::from(top) / 127.0, "{x} {got} {top}");
            }
        }
        prop_assert!(Rows::new(&[0.0; BLOCK], BLOCK, false).values().iter().all(|&x| x == 0.0));
    }
}

#[test]
fn what_is_not_finite_is_passed_on() {
    let (m, n, k) = (2, 40, 70);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for &kernel in Kernel::all() {
            let (mut x, mut w) = (noise(m * k, 1), noise(n * k, 2));
            x[k + 3] = bad;
            let run = |x: &[f32], w: &[f32]| {
                let mut out = vec![0.0; m * n];
                let weights = Weights::new(Mat::new(w, k).t(), k, n);
                weights.product_by(kernel, x, m, &mut out, false);
                out
            };
            let out = run(&x, &w);
            assert!(out[..n].iter().all(|x| x.is_finite()) && out[n..].iter().all(|x| x.is_nan()));
            (x[k + 3], w[5 * k + 69]) = (0.0, bad);
            let out = run(&x, &w);
            assert!(out.iter().enumerate().all(|(i, x)| x.is_nan() == (i % n == 5)));
        }
    }
}

#[test]
fn no_places_no_outputs_no_rows() {
    for [m, n, k] in [[3, 4, 0], [0, 4, 5], [3, 0, 5]] {
        let mut out = vec![7.0; m * n];
        Weights::new(Mat::new(&vec![1.0; n * k], k).t(), k, n).product(
            &vec![1.0; m * k],
            m,
            &mut out,
            true,
        );
        assert!(out.iter().all(|&x| x == 0.0));
    }
}
