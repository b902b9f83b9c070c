//! Attention: causal, windows, documents, padding, grouped queries, rows behind one another, caches; relative
//! positions, segments, permutations, memory.

use athanor_tensor::{
    Ids, Tensor,
    ops::{self, Mask, Qkv, Relative, RelativeMask, Window},
};

use super::{Draw, POOLS, strict};
use crate::{
    attention::{SCALE, Size, attend, reference, reference_over},
    common::*,
    relative,
};

fn size(draw: &mut Draw, most: usize) -> Size {
    let (batch, time, kv) = (draw.size(3), draw.size(most), 1 + draw.below(2));
    Size { batch, time, heads: kv * (1 + draw.below(3)), kv, dim: draw.size(20) }
}

/// To one side, or to both.
fn window(draw: &mut Draw, time: usize) -> Window {
    let last = Window::last(draw.size(time));
    Window { after: if draw.flag() { draw.below(time) } else { last.after }, ..last }
}

/// A mask of random parts; ids of documents in no order.
fn mask(draw: &mut Draw, Size { batch, time, .. }: Size) -> Mask {
    let plane = [batch, time];
    let mut documents = Vec::new();
    while documents.len() < batch * time {
        let (id, length) = (draw.below(9) as i32, draw.size(time));
        documents.extend(std::iter::repeat_n(id, length));
    }
    documents.truncate(batch * time);
    let keys = (0..batch * time).map(|_| i32::from(draw.below(4) > 0)).collect();
    Mask {
        causal: draw.flag(),
        documents: draw.flag().then(|| Ids::new(device(), documents, plane)),
        keys: draw.flag().then(|| Ids::new(device(), keys, plane)),
        window: draw.flag().then(|| window(draw, time)),
        starts: None,
    }
}

#[test]
fn attention() {
    Draw::cases("attention", 24, |draw, case| {
        let size = size(draw, if case % 4 == 0 { 150 } else { 40 });
        let Size { batch, time, heads, kv, dim } = size;
        let mask = mask(draw, size);
        let name = format!("attention {batch} {time} {heads}/{kv} {dim} {mask:?}");
        if draw.flag() {
            let shapes = [heads, kv, kv].map(|h| [batch, time, h, dim]);
            strict(
                &name,
                &shapes.map(|s| draw.normal(&s)),
                |v| vec![attend(v, [heads, kv], &mask)],
                |x| vec![reference(size, &x[0], &x[1], &x[2], &mask)],
            );
            return;
        }
        let ends = [0, heads * dim, (heads + kv) * dim, (heads + 2 * kv) * dim];
        strict(
            &format!("packed {name}"),
            &[draw.normal(&[batch, time, ends[3]])],
            |v| vec![ops::attention(&Qkv::Packed(&v[0]), heads, kv, SCALE, &mask)],
            |x| {
                let [q, k, v] = [0, 1, 2].map(|n| -> Vec<f64> {
                    x[0].chunks(ends[3]).flat_map(|r| r[ends[n]..ends[n + 1]].to_vec()).collect()
                });
                vec![reference(size, &q, &k, &v, &mask)]
            },
        );
    });
}

/// Queries of one sequence over keys of another.
#[test]
fn cross() {
    Draw::cases("cross", 12, |draw, case| {
        let size = size(draw, if case % 4 == 0 { 150 } else { 30 });
        let Size { batch, time, heads, kv, dim } = size;
        let keys = draw.size(if case % 3 == 0 { 150 } else { 30 });
        let seen = (0..batch * keys).map(|_| i32::from(draw.below(4) > 0)).collect();
        let seen = draw.flag().then(|| Ids::new(device(), seen, [batch, keys]));
        let mask = Mask { keys: seen, ..Mask::default() };
        let shapes = [[batch, time, heads, dim], [batch, keys, kv, dim], [batch, keys, kv, dim]];
        strict(
            &format!("cross {batch} {time} over {keys} {heads}/{kv} {dim} {mask:?}"),
            &shapes.map(|s| draw.normal(&s)),
            |v| vec![attend(v, [heads, kv], &mask)],
            |x| vec![reference_over(keys, size, &x[0], &x[1], &x[2], &mask)],
        );
    });
}

#[test]
fn rows_behind_one_another() {
    Draw::cases("rows behind one another", 6, |draw, _| {
        let (mut starts, mut row) = (vec![0], Vec::new());
        for i in 0..1 + draw.below(5) {
            row.resize(row.len() + draw.size(60), i as i32);
            starts.push(row.len() as i32);
        }
        let size = Size { batch: 1, time: row.len(), ..size(draw, 1) };
        let Size { time, heads, kv, dim, .. } = size;
        let (causal, window) = (draw.flag(), draw.flag().then(|| window(draw, time)));
        let documents = Some(Ids::new(device(), row, [1, time]));
        let same = Mask { causal, window, documents, ..Mask::default() };
        let starts = Some(Ids::new(device(), starts.clone(), [starts.len()]));
        let mask = Mask { starts, documents: None, ..same.clone() };
        strict(
            &format!("rows {heads}/{kv} {dim} {mask:?}"),
            &[heads, kv, kv].map(|h| draw.normal(&[1, time, h, dim])),
            |v| vec![attend(v, [heads, kv], &mask)],
            |x| vec![reference(size, &x[0], &x[1], &x[2], &same)],
        );
    });
}

/// The last queries of causal attention, over a cache with NaN behind what was written.
#[test]
fn cached() {
    Draw::cases("cached", 12, |draw, _| {
        let size = size(draw, 170);
        let Size { batch, time, heads, kv, dim } = size;
        let new = 1 + draw.below(time.min(9));
        let window = draw.flag().then(|| draw.size(time));
        let [q, k, v] = [heads, kv, kv].map(|h| draw.normal(&[batch, time, h, dim]));
        let starts = Ids::new(device(), vec![(time - new) as i32; batch], [batch]);
        let cut = |x: &[f32], width: usize| -> Vec<f32> {
            x.chunks(time * width).flat_map(|r| r[(time - new) * width..].to_vec()).collect()
        };
        let run = || {
            let capacity = time + 3;
            let cache = |x: &In| {
                let mut cache = Tensor::full(device(), [batch, capacity, kv, dim], f32::NAN);
                let new = Tensor::from_slice(device(), &x.0, [batch, time, kv, dim]);
                ops::cache_write(&mut cache, &new, &Ids::new(device(), vec![0; batch], [batch]));
                cache
            };
            let query = cut(&q.0, heads * dim);
            let query = Tensor::from_slice(device(), &query, [batch, new, heads, dim]);
            ops::attention_cached(&query, &cache(&k), &cache(&v), &starts, SCALE, window).to_vec()
        };
        let [got, two] = [0, 1].map(|n| POOLS[n].install(run));
        let name = format!("cached {batch} {time} {heads}/{kv} {dim} {new} {window:?}");
        assert!(got == two, "{name}: other bytes on two threads");
        let mask = Mask { window: window.map(Window::last), ..Mask::causal() };
        let all = reference(size, &wide(&q.0), &wide(&k.0), &wide(&v.0), &mask);
        let want: Vec<f64> = all
            .chunks(time * heads * dim)
            .flat_map(|r| r[(time - new) * heads * dim..].to_vec())
            .collect();
        close(&name, &got, &want, 1e-5);
    });
}

#[test]
fn relative_positions() {
    Draw::cases("relative", 14, |draw, case| {
        let most = if case % 5 == 0 { 70 } else { 18 };
        let [batch, time, heads, dim] =
            [draw.size(3), draw.size(most), draw.size(3), draw.size(12)];
        let size = relative::Size { batch, time, memory: draw.below(most), heads, dim };
        let keys = size.memory + time;
        let causal = draw.flag();
        let mut mask = RelativeMask { causal, own: true, ..RelativeMask::default() };
        let mut queries = time;
        if causal {
            mask.same_length = draw.flag();
        } else if draw.flag() {
            // None that sees nothing: what it gives has no derivative that differences could show.
            mask.permutation = relative::permutation(size);
            mask.keys = draw.flag().then(|| relative::padding(size)).flatten();
            if draw.flag() {
                queries = draw.size(time);
                let places = (0..batch * queries)
                    .map(|n| if n == 1 { -1 } else { ((n * 3 + n / queries) % time) as i32 });
                mask.places = Some(Ids::new(device(), places.collect(), [batch, queries]));
            }
        }
        let segments = draw.flag();
        mask.types = segments.then(|| relative::types(size)).flatten();
        let distances = if causal { keys + 1 } else { keys + time };
        let (vector, pair) = ([heads, dim], [2, heads, dim]);
        let mut inputs = vec![
            draw.normal(&[batch, queries, heads, dim]),
            draw.normal(&[batch, keys, heads, dim]),
            draw.normal(&[batch, keys, heads, dim]),
            draw.normal(&[distances, heads, dim]),
            draw.normal(&vector),
            draw.normal(&vector),
        ];
        if segments {
            inputs.extend([draw.normal(&vector), draw.normal(&pair)]);
        }
        strict(
            &format!("relative {batch} {time}+{} {heads} {dim} {queries} {mask:?}", size.memory),
            &inputs,
            |v| {
                let x = Relative::new(v);
                vec![ops::relative_attention(&x, time, relative::SCALE as f32, &mask)]
            },
            |x| vec![relative::reference(x, size, queries, &mask)],
        );
    });
}
