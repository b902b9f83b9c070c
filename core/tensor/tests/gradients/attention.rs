//! Attention against plain softmax(q·kᵀ)·v.

use athanor_tensor::{
    DType, Grads, Ids, Rng, Tape, Tensor, Var,
    ops::{self, Mask, Qkv, Window},
};

use crate::common::*;

#[derive(Clone, Copy)]
pub struct Size {
    pub batch: usize,
    pub time: usize,
    pub heads: usize,
    pub kv: usize,
    pub dim: usize,
}

pub const SCALE: f32 = 0.37;

/// Attention of queries, keys and values that are three tensors.
pub fn attend(v: &[Var], [heads, kv]: [usize; 2], mask: &Mask) -> Var {
    ops::attention(&Qkv::Separate(&v[0], &v[1], &v[2]), heads, kv, SCALE, mask)
}

/// Queries of `lengths[0]` places and keys and values of `lengths[1]`.
fn separate_inputs(batch: usize, lengths: [usize; 2], heads: [usize; 2], dim: usize) -> [In; 3] {
    [(0, 1), (1, 2), (1, 3)].map(|(i, seed)| normal(&[batch, lengths[i], heads[i], dim], seed))
}

/// Queries, keys and values as [batch, time, heads or kv, dim].
pub fn reference(size: Size, q: &[f64], k: &[f64], v: &[f64], mask: &Mask) -> Vec<f64> {
    reference_over(size.time, size, q, k, v, mask)
}

/// The same with `keys` keys and values a row.
pub fn reference_over(
    keys: usize,
    size: Size,
    q: &[f64],
    k: &[f64],
    v: &[f64],
    mask: &Mask,
) -> Vec<f64> {
    let Size { batch, time, heads, kv, dim } = size;
    let mut out = vec![0.0; batch * time * heads * dim];
    for b in 0..batch {
        for h in 0..heads {
            let g = h / (heads / kv);
            for i in 0..time {
                let query = &q[((b * time + i) * heads + h) * dim..][..dim];
                let scores: Vec<f64> = (0..keys)
                    .map(|j| {
                        let same = |m: &Ids| m.host()[b * time + i] == m.host()[b * keys + j];
                        let near = |w: Window| j + w.before >= i && j <= i.saturating_add(w.after);
                        let seen = (!mask.causal || j <= i)
                            && mask.window.is_none_or(near)
                            && mask.documents.as_ref().is_none_or(same)
                            && mask.keys.as_ref().is_none_or(|m| m.host()[b * keys + j] != 0);
                        if !seen {
                            return f64::NEG_INFINITY;
                        }
                        let key = &k[((b * keys + j) * kv + g) * dim..][..dim];
                        f64::from(SCALE) * query.iter().zip(key).map(|(a, b)| a * b).sum::<f64>()
                    })
                    .collect();
                for (j, p) in softmax(&scores).into_iter().enumerate() {
                    for d in 0..dim {
                        out[((b * time + i) * heads + h) * dim + d] +=
                            p * v[((b * keys + j) * kv + g) * dim + d];
                    }
                }
            }
        }
    }
    out
}

fn masks(batch: usize, time: usize) -> Vec<(&'static str, Mask)> {
    let shape = [batch, time];
    // Documents of unequal length, ids not in order; padding on the left of one row, right of others.
    let documents: Vec<i32> = (0..batch * time)
        .map(|i| [5, 2, 9, 2][(i % time + 3 * (i / time)) * 4 / (time + 3 * batch)])
        .collect();
    let keys: Vec<i32> = (0..batch * time)
        .map(|i| {
            let (b, t) = (i / time, i % time);
            i32::from(if b % 2 == 0 { t >= time / 3 } else { t < time - time / 3 })
        })
        .collect();
    let documents = Some(Ids::new(device(), documents, shape));
    let keys = Some(Ids::new(device(), keys, shape));
    let mut all = Vec::new();
    for causal in [true, false] {
        all.push(("plain", Mask { causal, ..Mask::default() }));
        all.push(("documents", Mask { causal, documents: documents.clone(), ..Mask::default() }));
        all.push(("keys", Mask { causal, keys: keys.clone(), ..Mask::default() }));
        let both =
            Mask { causal, documents: documents.clone(), keys: keys.clone(), ..Mask::default() };
        let last = Some(Window::last(time / 3 + 1));
        all.push(("window", Mask { causal, window: last, ..Mask::default() }));
        all.push(("all", Mask { window: Some(Window::last(time / 2 + 1)), ..both.clone() }));
        let around = Some(Window::around(time / 4));
        all.push(("around", Mask { causal, window: around, ..Mask::default() }));
        let ahead = Some(Window { before: time / 9, after: time / 5 + 1 });
        all.push(("ahead", Mask { window: ahead, ..both.clone() }));
        all.push(("both", both));
    }
    all
}

fn separate(size: Size) {
    let Size { batch, time, heads, kv, dim } = size;
    for (name, mask) in masks(batch, time) {
        check(
            &format!("attention {batch} {time} {heads}/{kv} {dim} {name} {}", mask.causal),
            &separate_inputs(batch, [time, time], [heads, kv], dim),
            |v| vec![attend(v, [heads, kv], &mask)],
            |x| vec![reference(size, &x[0], &x[1], &x[2], &mask)],
        );
    }
}

/// Queries of one sequence over keys of another, as a decoder's over an encoder's; the longer one beyond a tile.
#[test]
fn other_counts_of_queries_and_keys() {
    for (batch, time, keys, heads, kv, dim) in
        [(1, 1, 3, 1, 1, 1), (2, 7, 3, 4, 2, 3), (2, 3, 131, 3, 1, 5), (1, 130, 5, 2, 2, 3)]
    {
        let size = Size { batch, time, heads, kv, dim };
        // Of the last row only one key is seen.
        let seen = (0..batch * keys).map(|i| i32::from(i < (batch - 1) * keys || i % keys == 1));
        let seen = Some(Ids::new(device(), seen.collect(), [batch, keys]));
        for mask in [Mask::default(), Mask { keys: seen, ..Mask::default() }] {
            check(
                &format!("attention {batch} {time} over {keys} {heads}/{kv} {dim}"),
                &separate_inputs(batch, [time, keys], [heads, kv], dim),
                |v| vec![attend(v, [heads, kv], &mask)],
                |x| vec![reference_over(keys, size, &x[0], &x[1], &x[2], &mask)],
            );
        }
    }
}

/// Order says nothing between two sequences.
#[test]
#[should_panic(expected = "attention: [1, 2, 1, 3] over [1, 5, 1, 3]")]
fn a_causal_mask_over_another_sequence_is_refused() {
    let [q, k] = [2, 5].map(|n| Var::constant(Tensor::zeros(device(), [1, n, 1, 3])));
    ops::attention(&Qkv::Separate(&q, &k, &k), 1, 1, SCALE, &Mask::causal());
}

#[test]
fn separate_small() {
    for (batch, time, heads, kv, dim) in [(1, 1, 1, 1, 1), (2, 5, 3, 3, 3), (2, 17, 6, 2, 4)] {
        separate(Size { batch, time, heads, kv, dim });
    }
}

/// Beyond one tile, and grouped at its border.
#[test]
fn separate_large() {
    for (time, kv, dim) in [(150, 2, 5), (129, 1, 3)] {
        separate(Size { batch: 1, time, heads: 2, kv, dim });
    }
}

#[test]
fn packed() {
    for (batch, time, heads, kv, dim) in [(2, 5, 3, 1, 3), (1, 65, 2, 2, 5), (1, 130, 2, 1, 3)] {
        let size = Size { batch, time, heads, kv, dim };
        let (wide, narrow) = (heads * dim, kv * dim);
        let width = wide + 2 * narrow;
        for (name, mask) in masks(batch, time) {
            let cut = |x: &[f64], from: usize, len: usize| -> Vec<f64> {
                x.chunks(width).flat_map(|r| r[from..from + len].to_vec()).collect()
            };
            check(
                &format!("packed {batch} {time} {heads}/{kv} {dim} {name} {}", mask.causal),
                &[normal(&[batch, time, width], 1)],
                |v| vec![ops::attention(&Qkv::Packed(&v[0]), heads, kv, SCALE, &mask)],
                |x| {
                    let q = cut(&x[0], 0, wide);
                    let k = cut(&x[0], wide, narrow);
                    let v = cut(&x[0], wide + narrow, narrow);
                    vec![reference(size, &q, &k, &v, &mask)]
                },
            );
        }
    }
}

/// Rows of different lengths behind one another are what documents in one long row are.
#[test]
fn rows_without_padding() {
    for lengths in [&[5usize, 0, 1, 9][..], &[3, 131, 70]] {
        let (mut starts, mut row) = (vec![0], Vec::new());
        for (i, &n) in lengths.iter().enumerate() {
            row.resize(row.len() + n, i as i32);
            starts.push(row.len() as i32);
        }
        let time = row.len();
        let size = Size { batch: 1, time, heads: 2, kv: 1, dim: 3 };
        let starts = Some(Ids::new(device(), starts, [lengths.len() + 1]));
        let documents = Some(Ids::new(device(), row, [1, time]));
        let (last, around) = (Some(Window::last(4)), Some(Window::around(2)));
        for (causal, window) in [(false, None), (true, None), (true, last), (false, around)] {
            let mask = Mask { causal, window, starts: starts.clone(), documents: None, keys: None };
            let same = Mask { documents: documents.clone(), starts: None, ..mask.clone() };
            check(
                &format!("attention rows {lengths:?} {causal} {window:?}"),
                &separate_inputs(1, [time, time], [2, 1], 3),
                |v| vec![attend(v, [2, 1], &mask)],
                |x| vec![reference(size, &x[0], &x[1], &x[2], &same)],
            );
        }
    }
}

#[test]
fn a_query_that_sees_nothing_gives_zeros() {
    // Row 0 sees no key at all; row 1 only keys from 140 on, so causal queries before see none.
    let (time, heads, dim) = (150, 2, 5);
    let keys: Vec<i32> = (0..2 * time).map(|i| i32::from(i >= time + 140)).collect();
    let mask = Mask { keys: Some(Ids::new(device(), keys, [2, time])), ..Mask::causal() };
    poison();
    let tape = Tape::new();
    let x = normal(&[2, time, 3 * heads * dim], 1);
    let x = tape.leaf(Tensor::from_slice(device(), &x.0, &x.1[..]));
    let y = ops::attention(&Qkv::Packed(&x), heads, heads, SCALE, &mask);
    let out = y.value().to_vec();
    let dark = (time + 140) * heads * dim;
    assert!(out[..dark].iter().all(|&v| v == 0.0));
    assert!(out[dark..].iter().all(|&v| v.is_finite() && v != 0.0));
    let mut grads = Grads::new();
    tape.backward(&ops::sum(&ops::square(&y)), &mut grads);
    let grad = grads.take(&x).unwrap().to_vec();
    assert!(grad.iter().all(|v| v.is_finite()));
    assert!(grad[..(time + 140) * 3 * heads * dim].iter().all(|&v| v == 0.0));
    assert!(grad.iter().any(|&v| v != 0.0));
}

#[test]
fn large_scores_do_not_overflow() {
    let size = Size { batch: 1, time: 150, heads: 1, kv: 1, dim: 3 };
    let mut q = normal(&[1, 150, 1, 3], 1);
    q.0.iter_mut().for_each(|v| *v *= 100.0);
    let (k, v) = (normal(&[1, 150, 1, 3], 2), normal(&[1, 150, 1, 3], 3));
    let [qt, kt, vt] =
        [&q, &k, &v].map(|x| Var::constant(Tensor::from_slice(device(), &x.0, &x.1[..])));
    let y = ops::attention(&Qkv::Separate(&qt, &kt, &vt), 1, 1, SCALE, &Mask::causal());
    let want = reference(size, &wide(&q.0), &wide(&k.0), &wide(&v.0), &Mask::causal());
    close("large scores", &y.value().to_vec(), &want, 1e-4);
}

#[test]
fn cached_equals_plain() {
    for dim in [5, 16, 80] {
        [None, Some(1), Some(6), Some(141)].into_iter().for_each(|window| cached(window, dim));
    }
}

fn cached(window: Option<usize>, dim: usize) {
    let (batch, heads, kv, capacity) = (2, 4, 2, 160);
    // Each row has its own past; the new tokens come in two pieces.
    let (starts, new) = ([3usize, 140], 7usize);
    let total = 160;
    let q = normal(&[batch, total, heads, dim], 1);
    let k = normal(&[batch, total, kv, dim], 2);
    let v = normal(&[batch, total, kv, dim], 3);
    let size = Size { batch, time: total, heads, kv, dim };
    let mask = Mask { window: window.map(Window::last), ..Mask::causal() };
    let full = reference(size, &wide(&q.0), &wide(&k.0), &wide(&v.0), &mask);
    // Places after the last written one hold NaN: the op must not read them.
    let mut ck = Tensor::full(device(), [batch, capacity, kv, dim], f32::NAN);
    let mut cv = ck.clone();
    let pick = |x: &In, b: usize, from: usize, n: usize, width: usize| -> Vec<f32> {
        x.0[(b * total + from) * width..(b * total + from + n) * width].to_vec()
    };
    let both = |x: &In, from: [usize; 2], n: usize, h: usize| {
        let rows: Vec<f32> = (0..2).flat_map(|b| pick(x, b, from[b], n, h * dim)).collect();
        Tensor::from_slice(device(), &rows, [2, n, h, dim])
    };
    for (b, &start) in starts.iter().enumerate() {
        let (kp, vp) = (pick(&k, b, 0, start, kv * dim), pick(&v, b, 0, start, kv * dim));
        let one = |x: &Tensor, p: &[f32]| {
            let mut row = Tensor::from_slice(
                device(),
                &x.to_vec()[b * capacity * kv * dim..(b + 1) * capacity * kv * dim],
                [1, capacity, kv, dim],
            );
            let p = Tensor::from_slice(device(), p, [1, start, kv, dim]);
            ops::cache_write(&mut row, &p, &Ids::new(device(), vec![0], [1]));
            row.to_vec()
        };
        let join = |x: &Tensor, row: Vec<f32>| {
            let mut all = x.to_vec();
            all[b * capacity * kv * dim..(b + 1) * capacity * kv * dim].copy_from_slice(&row);
            Tensor::from_slice(device(), &all, [batch, capacity, kv, dim])
        };
        ck = join(&ck, one(&ck, &kp));
        cv = join(&cv, one(&cv, &vp));
    }
    let mut done = 0;
    for n in [1, new - 1] {
        let from = starts.map(|s| s + done);
        let at = Ids::new(device(), from.iter().map(|&s| s as i32).collect(), [2]);
        ops::cache_write(&mut ck, &both(&k, from, n, kv), &at);
        ops::cache_write(&mut cv, &both(&v, from, n, kv), &at);
        let y = ops::attention_cached(&both(&q, from, n, heads), &ck, &cv, &at, SCALE, window);
        assert_eq!(y.shape()[..], [2, n, heads * dim]);
        let want: Vec<f64> = (0..2)
            .flat_map(|b| {
                full[(b * total + from[b]) * heads * dim..(b * total + from[b] + n) * heads * dim]
                    .to_vec()
            })
            .collect();
        close("attention_cached", &y.to_vec(), &want, 1e-5);
        done += n;
    }
}

/// A cache in bf16 gives the bytes of one in f32 that holds the rounded numbers.
#[test]
fn cached_attention_over_bf16() {
    let noise = |n: usize, seed| {
        let mut x = vec![0.0; n];
        Rng::new(seed).fill_normal(&mut x, 0.0, 1.0);
        x
    };
    // To the nearest of the two that end in 16 zero bits.
    let round = |x: f32| {
        let low = f32::from_bits(x.to_bits() & 0xffff_0000);
        let high = f32::from_bits(low.to_bits() + 0x1_0000);
        if (x - low).abs() < (high - x).abs() { low } else { high }
    };
    for (heads, kv, dim, window) in
        [(4, 2, 6, None), (3, 3, 64, Some(5)), (2, 1, 34, Some(1)), (2, 2, 5, None)]
    {
        let (batch, time, capacity) = (3, 4, 11);
        let starts = Ids::new(device(), vec![0, 7, 3], [batch]);
        let q = Tensor::from_slice(
            device(),
            &noise(batch * time * heads * dim, 1),
            [batch, time, heads, dim],
        );
        let values: Vec<Vec<f32>> =
            (2..6).map(|s| noise(batch * time.max(7) * kv * dim, s)).collect();
        let run = |dtype: DType| {
            let caches: Vec<Tensor> = (0..2)
                .map(|i| {
                    let mut cache = Tensor::zeros_of(dtype, device(), [batch, capacity, kv, dim]);
                    for (x, time, at) in [
                        (&values[i], 7, vec![0; batch]),
                        (&values[i + 2], time, starts.host().to_vec()),
                    ] {
                        let x: Vec<f32> = match dtype {
                            DType::F32 => x.iter().map(|&x| round(x)).collect(),
                            DType::Bf16 => x.clone(),
                        };
                        let x = Tensor::from_slice(
                            device(),
                            &x[..batch * time * kv * dim],
                            [batch, time, kv, dim],
                        );
                        ops::cache_write(&mut cache, &x, &Ids::new(device(), at, [batch]));
                    }
                    cache
                })
                .collect();
            let rows = Ids::new(device(), vec![2, 0], [2]);
            let kept: Vec<Vec<f32>> =
                caches.iter().map(|c| ops::take_rows(c, &rows).to_vec()).collect();
            let seen = ops::attention_cached(&q, &caches[0], &caches[1], &starts, 0.3, window);
            (seen.to_vec(), kept)
        };
        assert_eq!(run(DType::Bf16), run(DType::F32));
    }
}

/// Writes so many places into a cache of four.
fn write_into_four(time: usize, start: i32) {
    let mut cache = Tensor::zeros(device(), [1, 4, 1, 2]);
    let new = Tensor::zeros(device(), [1, time, 1, 2]);
    ops::cache_write(&mut cache, &new, &Ids::new(device(), vec![start], [1]));
}

#[test]
#[should_panic(expected = "cache_write")]
fn cache_write_refuses_a_negative_place() {
    write_into_four(1, -1);
}

#[test]
#[should_panic(expected = "cache_write")]
fn cache_write_refuses_overflow() {
    write_into_four(2, 3);
}
