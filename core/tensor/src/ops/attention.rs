//! Scaled dot-product attention (Vaswani et al. 2017, eq. 1) in tiles, with grouped queries
//! (Ainslie et al. 2023). The derivative is FlashAttention-2's algorithm 2 (Dao 2023).

use crate::{
    backend::{self, Attention, AttentionSaved, AttentionSizes, CachedAttention, HeadLayout, Mask},
    tape::{Saved, Var},
    tensor::{Ids, Tensor},
};

/// Queries, keys and values of a projection.
pub enum Qkv<'a> {
    /// One tensor [batch, time, (heads + 2·kv_heads)·dim]: queries, keys, values side by side.
    Packed(&'a Var),
    /// [batch, queries, heads, dim], and twice [batch, keys, kv_heads, dim]. Other counts of keys than of queries
    /// are cross attention.
    Separate(&'a Var, &'a Var, &'a Var),
}

/// softmax(scale·q·kᵀ)·v for each head; the result is [batch, queries, heads·dim]. A query that may
/// see nothing gives zeros.
///
/// # Panics
/// If the sizes do not fit.
pub fn attention(qkv: &Qkv<'_>, heads: usize, kv_heads: usize, scale: f32, mask: &Mask) -> Var {
    let (first, other, parts) = match qkv {
        Qkv::Packed(x) => (x, x, heads + 2 * kv_heads),
        Qkv::Separate(q, k, _) => (q, k, heads),
    };
    let [batch, queries, keys] = [first.shape()[0], first.shape()[1], other.shape()[1]];
    let dim = first.value().len() / (batch * queries).max(1) / parts;
    let (wide, narrow) = (heads * dim, kv_heads * dim);
    let (inputs, layouts): (Vec<&Var>, [HeadLayout; 3]) = match qkv {
        Qkv::Packed(x) => {
            let stride = wide + 2 * narrow;
            (vec![x], [0, wide, wide + narrow].map(|offset| HeadLayout { offset, stride }))
        }
        Qkv::Separate(q, k, v) => {
            (vec![q, k, v], [wide, narrow, narrow].map(|stride| HeadLayout { offset: 0, stride }))
        }
    };
    let tokens = [queries, keys, keys].map(|n| batch * n);
    let fits = inputs.iter().zip(&layouts).zip(tokens);
    assert!(
        fits.into_iter().all(|((x, l), n)| x.value().len() == n * l.stride)
            && mask_fits(mask, batch, queries, keys)
            && heads.is_multiple_of(kv_heads),
        "attention: {:?} over {:?} with {heads} heads, {kv_heads} key heads",
        first.shape(),
        other.shape()
    );
    let rows = mask.starts.as_ref().map_or(batch, |s| s.len().saturating_sub(1));
    let sizes = AttentionSizes { batch: rows, queries, keys, heads, kv_heads, dim, scale };
    let values: Vec<Tensor> = inputs.iter().map(|v| v.value().clone()).collect();
    let part = |values: &[Tensor], i: usize| values[if values.len() == 1 { 0 } else { i }].clone();
    let device = first.value().device();
    let mut out = Tensor::uninit(device, [batch, queries, wide]);
    let mut lse = Tensor::uninit(device, [batch, heads, queries]);
    let [q, k, v] = [0, 1, 2].map(|i| part(&values, i));
    let call = Attention { qkv: [&q, &k, &v], layouts, sizes, mask };
    backend::of(device).attention(&call, &mut out, &mut lse);
    let slots: Vec<_> = inputs.iter().map(|v| v.slot()).collect();
    let saved: Vec<Saved> = inputs.iter().map(|v| v.saved()).collect();
    let (mask, saved_out) = (mask.clone(), out.clone());
    drop((values, q, k, v));
    Var::record(out, &inputs, move |grad, grads| {
        let values: Vec<Tensor> = saved.iter().map(Saved::get).collect();
        let [q, k, v] = [0, 1, 2].map(|i| part(&values, i));
        let mut gradients: Vec<Tensor> =
            values.iter().map(|v| Tensor::zeros(v.device(), *v.shape())).collect();
        let call = Attention { qkv: [&q, &k, &v], layouts, sizes, mask: &mask };
        let saved = AttentionSaved { out: &saved_out, lse: &lse, grad: &grad };
        backend::of(grad.device()).attention_grad(&call, saved, &mut gradients);
        for (slot, gradient) in slots.into_iter().zip(gradients) {
            grads.add(slot, gradient);
        }
    })
}

fn mask_fits(mask: &Mask, batch: usize, queries: usize, keys: usize) -> bool {
    let Mask { causal, documents, keys: seen, window, starts } = mask;
    let tokens = batch * keys;
    let starts_fit = starts.as_ref().is_none_or(|starts| {
        let starts = starts.host();
        batch == 1
            && starts.first() == Some(&0)
            && starts.last() == Some(&(tokens as i32))
            && starts.windows(2).all(|w| w[0] <= w[1])
    });
    // Places of one sequence mean nothing in another.
    let by_place = *causal || documents.is_some() || window.is_some() || starts.is_some();
    let sized = [documents, seen].into_iter().flatten().all(|m| m.len() == tokens);
    sized && starts_fit && (queries == keys || !by_place)
}

/// Copies `new` [batch, time, heads, dim] into a cache [batch, capacity, heads, dim], row b from
/// place `starts[b]` on, in the cache's format.
///
/// # Panics
/// If the sizes do not fit or a row would overflow.
pub fn cache_write(cache: &mut Tensor, new: &Tensor, starts: &Ids) {
    let ([batch, time, heads, dim], [rows, capacity, ..]) = (four(new), four(cache));
    assert!(
        batch == rows && cache.shape()[2..] == [heads, dim] && starts.len() == batch,
        "cache_write: {:?} into {:?}",
        new.shape(),
        cache.shape()
    );
    if let Some(start) = beyond(starts, time, capacity) {
        panic!("cache_write: {start} + {time} beyond {capacity}");
    }
    backend::of(cache.device()).cache_write(cache, new, starts);
}

/// A start from which `time` places do not fit in a row of `capacity`.
fn beyond(starts: &Ids, time: usize, capacity: usize) -> Option<i32> {
    let fits = |s: i32| usize::try_from(s).is_ok_and(|s| s + time <= capacity);
    starts.host().iter().copied().find(|&s| !fits(s))
}

/// Attention of new queries [batch, time, heads, dim] over caches [batch, capacity, kv_heads, dim], of f32 or
/// bf16, into which their own keys and values were written: query t of row b sees places
/// 0..=starts[b] + t, the last `window` of them. No gradient. The result is [batch, time, heads·dim].
///
/// # Panics
/// If the sizes do not fit.
pub fn attention_cached(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    starts: &Ids,
    scale: f32,
    window: Option<usize>,
) -> Tensor {
    let ([batch, time, heads, dim], [rows, capacity, kv_heads, width]) = (four(q), four(k));
    assert!(
        batch == rows
            && dim == width
            && (k.shape(), k.dtype()) == (v.shape(), v.dtype())
            && heads.is_multiple_of(kv_heads)
            && starts.len() == batch,
        "attention_cached: {:?} over {:?}",
        q.shape(),
        k.shape()
    );
    assert_eq!(beyond(starts, time, capacity), None, "attention_cached: beyond the cache");
    let mut out = Tensor::uninit(q.device(), [batch, time, heads * dim]);
    let sizes =
        AttentionSizes { batch, queries: time, keys: capacity, heads, kv_heads, dim, scale };
    let call = CachedAttention { q, k, v, starts, sizes, window };
    backend::of(q.device()).attention_cached(&call, &mut out);
    out
}

fn four(t: &Tensor) -> [usize; 4] {
    <[usize; 4]>::try_from(&t.shape()[..])
        .unwrap_or_else(|_| panic!("attention over a cache: shape {:?}", t.shape()))
}
