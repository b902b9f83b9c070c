//! Attention with relative positions and segments, against the plain sums.

use athanor_tensor::{
    Ids, Tensor, Var,
    ops::{self, Relative, RelativeMask},
};

use crate::common::*;

#[derive(Clone, Copy)]
pub struct Size {
    pub batch: usize,
    pub time: usize,
    pub memory: usize,
    pub heads: usize,
    pub dim: usize,
}

pub const SCALE: f64 = 0.4;

fn sees(mask: &RelativeMask, size: Size, b: usize, i: usize, j: usize) -> bool {
    let Size { time, memory, .. } = size;
    if mask.own && j == memory + i {
        return true;
    }
    let row = j.checked_sub(memory);
    let at = |t: usize| b * time + t;
    let hidden = |p: &Tensor| row.is_some_and(|t| p.to_vec()[at(i) * time + t] > 0.0);
    let padded = |k: &Ids| row.is_some_and(|t| k.host()[at(t)] == 0);
    let future = mask.causal && j > memory + i;
    let old = mask.causal && mask.same_length && j < i && j < time;
    !(future
        || old
        || mask.permutation.as_ref().is_some_and(hidden)
        || mask.keys.as_ref().is_some_and(padded))
}

/// x: queries, keys, values, distances, content bias, place bias, segment bias, segments.
pub fn reference(x: &[Vec<f64>], size: Size, queries: usize, mask: &RelativeMask) -> Vec<f64> {
    let Size { batch, time, memory, heads, dim } = size;
    let keys = memory + time;
    let mut out = vec![0.0; batch * queries * heads * dim];
    // Once for all: `to_vec` in the innermost loop is slow.
    let seen: Vec<bool> = (0..batch * time * keys)
        .map(|n| sees(mask, size, n / (time * keys), n / keys % time, n % keys))
        .collect();
    for b in 0..batch {
        for q in 0..queries {
            let place = mask.places.as_ref().map_or(q as i32, |p| p.host()[b * queries + q]);
            let Ok(i) = usize::try_from(place) else { continue };
            let seen = &seen[(b * time + i) * keys..][..keys];
            for h in 0..heads {
                let part = |n: usize, row: usize, d: usize| x[n][(row * heads + h) * dim + d];
                let query = |bias: usize, d: usize| part(0, b * queries + q, d) + part(bias, 0, d);
                let kind = |t: usize| mask.types.as_ref().map(|s| s.host()[b * time + t]);
                let scores: Vec<f64> = (0..keys)
                    .map(|j| {
                        if seen.contains(&true) && !seen[j] {
                            return f64::NEG_INFINITY;
                        }
                        if !seen.contains(&true) {
                            return -1e30;
                        }
                        let other = kind(i).map(|own| {
                            let key = j.checked_sub(memory).map_or(Some(0), kind);
                            usize::from(key != Some(own))
                        });
                        let sum = |d: usize| {
                            let mut s = query(4, d) * part(1, b * keys + j, d);
                            if time - i + j < x[3].len() / (heads * dim) {
                                s += query(5, d) * part(3, time - i + j, d);
                            }
                            if let Some(s2) = other.filter(|_| x.len() > 6) {
                                s += query(6, d) * part(7, s2, d);
                            }
                            s
                        };
                        SCALE * (0..dim).map(sum).sum::<f64>()
                    })
                    .collect();
                for (j, p) in softmax(&scores).into_iter().enumerate() {
                    for d in 0..dim {
                        out[((b * queries + q) * heads + h) * dim + d] +=
                            p * part(2, b * keys + j, d);
                    }
                }
            }
        }
    }
    out
}

fn run(name: &str, size: Size, queries: usize, mask: &RelativeMask, segments: bool) {
    let Size { batch, time, memory, heads, dim } = size;
    let keys = memory + time;
    let distances = if mask.causal { keys + 1 } else { keys + time };
    let mut inputs = vec![
        normal(&[batch, queries, heads, dim], 1),
        normal(&[batch, keys, heads, dim], 2),
        normal(&[batch, keys, heads, dim], 3),
        normal(&[distances, heads, dim], 4),
        normal(&[heads, dim], 5),
        normal(&[heads, dim], 6),
    ];
    if segments {
        inputs.extend([normal(&[heads, dim], 7), normal(&[2, heads, dim], 8)]);
    }
    check(
        &format!("relative {name} {batch} {time}+{memory} {heads} {dim}"),
        &inputs,
        |v| vec![ops::relative_attention(&Relative::new(v), time, SCALE as f32, mask)],
        |x| vec![reference(x, size, queries, mask)],
    );
}

pub fn types(size: Size) -> Option<Ids> {
    let Size { batch, time, .. } = size;
    Some(ids(batch * time, 3, 41, &[batch, time]))
}

/// A random order of each row's places; a place sees those before it and the row's last, but not itself.
/// So none is blind: what a blind query sees has no derivative that differences could show.
pub fn permutation(size: Size) -> Option<Tensor> {
    let Size { batch, time, .. } = size;
    let keys = noise(batch * time, 42);
    let hidden: Vec<f32> = (0..batch * time * time)
        .map(|n| {
            let (row, i, j) = (n / (time * time) * time, n / time % time, n % time);
            f32::from(u8::from(keys[row + i] <= keys[row + j] && j + 1 < time))
        })
        .collect();
    Some(Tensor::from_slice(device(), &hidden, [batch, time, time]))
}

pub fn padding(size: Size) -> Option<Ids> {
    let Size { batch, time, .. } = size;
    let seen = |n: usize| i32::from(n / time % 2 == 1 || n % time >= time / 3);
    Some(Ids::new(device(), (0..batch * time).map(seen).collect(), [batch, time]))
}

fn all(size: Size) {
    let Size { batch, time, .. } = size;
    let content = RelativeMask { own: true, ..RelativeMask::default() };
    run("plain", size, time, &content, false);
    let permuted = RelativeMask {
        permutation: permutation(size),
        keys: padding(size),
        types: types(size),
        ..RelativeMask::default()
    };
    run("content", size, time, &RelativeMask { own: true, ..permuted.clone() }, true);
    // Some places are asked for, in no order; one query has none.
    let queries = time.min(4);
    let places = (0..batch * queries)
        .map(|n| if n == 1 { -1 } else { ((n % queries * 3 + n / queries) % time) as i32 })
        .collect();
    let places = Some(Ids::new(device(), places, [batch, queries]));
    run("query", size, queries, &RelativeMask { places, ..permuted }, true);
    let causal =
        RelativeMask { causal: true, own: true, types: types(size), ..RelativeMask::default() };
    run("causal", size, time, &causal, true);
    run("same length", size, time, &RelativeMask { same_length: true, ..causal }, true);
}

#[test]
fn small() {
    for (batch, time, memory, heads, dim) in
        [(1, 1, 0, 1, 1), (2, 5, 0, 3, 3), (2, 6, 4, 2, 4), (3, 4, 9, 1, 5)]
    {
        all(Size { batch, time, memory, heads, dim });
    }
}

#[test]
fn beyond_one_tile() {
    all(Size { batch: 1, time: 70, memory: 65, heads: 2, dim: 3 });
}

/// A query that may see nothing sees all keys alike.
#[test]
fn blind() {
    let hidden = Tensor::full(device(), [1, 3, 3], 1.0);
    let keys = Some(Ids::new(device(), vec![0, 0, 0], [1, 3]));
    let value = |shape: &[usize], seed| {
        Var::constant(Tensor::from_slice(device(), &normal(shape, seed).0, shape))
    };
    let (q, k) = (value(&[1, 3, 1, 2], 1), value(&[1, 3, 1, 2], 2));
    let (r, bias) = (value(&[6, 1, 2], 3), value(&[1, 2], 4));
    let x = Relative {
        q: &q,
        k: &k,
        v: &k,
        r: &r,
        content_bias: &bias,
        place_bias: &bias,
        segments: None,
    };
    let mask = RelativeMask { permutation: Some(hidden), keys, ..RelativeMask::default() };
    let out = ops::relative_attention(&x, 3, 1.0, &mask).value().to_vec();
    let values = k.value().to_vec();
    for d in 0..2 {
        let mean = (values[d] + values[2 + d] + values[4 + d]) / 3.0;
        assert!((0..3).all(|i| (out[2 * i + d] - mean).abs() < 1e-6), "{out:?}");
    }
}

#[test]
fn concat() {
    for (batch, m, n, width) in [(1, 1, 1, 1), (3, 2, 5, 4), (2, 6, 3, 7)] {
        let shapes = [normal(&[batch, m, width], 1), normal(&[batch, n, width], 2)];
        check(
            &format!("concat {batch} {m} {n} {width}"),
            &shapes,
            |v| vec![ops::concat(&v[0], &v[1])],
            |x| {
                let rows = (0..batch).flat_map(|b| {
                    let a = &x[0][b * m * width..(b + 1) * m * width];
                    [a, &x[1][b * n * width..(b + 1) * n * width]].concat()
                });
                vec![rows.collect()]
            },
        );
    }
}
