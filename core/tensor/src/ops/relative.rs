//! Attention with relative positions and segments: Dai et al. 2019, "Transformer-XL", section 3.3, and
//! Yang et al. 2019, "XLNet", sections 2.3 (two streams) and 2.5 (relative segments).

use crate::{
    backend::{self, AttentionSaved, RelativeAttention, RelativeMask, RelativeSizes},
    tape::{Saved, Var},
    tensor::Tensor,
};

/// What [`relative_attention`] attends with.
pub struct Relative<'a> {
    /// Queries [batch, queries, heads, dim].
    pub q: &'a Var,
    /// Keys [batch, memory + time, heads, dim].
    pub k: &'a Var,
    /// Values, like the keys.
    pub v: &'a Var,
    /// Keys of the distances [distances, heads, dim]: row `time - i + j` is that of key j for the
    /// query at place i.
    pub r: &'a Var,
    /// Added to queries for contents (u, `r_w_bias`) [heads, dim].
    pub content_bias: &'a Var,
    /// Added to queries for distances (v, `r_r_bias`) [heads, dim].
    pub place_bias: &'a Var,
    /// Added to queries for segments (`r_s_bias`) [heads, dim], and the embeddings of the same and
    /// of another segment [2, heads, dim]. Needs `types`.
    pub segments: Option<(&'a Var, &'a Var)>,
}

impl<'a> Relative<'a> {
    /// From the fields in order: six without segments, eight with them.
    ///
    /// # Panics
    /// If there are fewer than six.
    pub fn new(inputs: &'a [Var]) -> Self {
        let [q, k, v, r, content_bias, place_bias, segments @ ..] = inputs else {
            panic!("relative_attention: {} inputs", inputs.len())
        };
        let segments = match segments {
            [bias, embedding, ..] => Some((bias, embedding)),
            _ => None,
        };
        Self { q, k, v, r, content_bias, place_bias, segments }
    }
}

/// softmax(scale·((q + u)·k + (q + v)·r + (q + b)·s))·values; the result is
/// [batch, queries, heads·dim]. `time` is the row's length without memory. A query that may see nothing
/// sees all keys alike, as in the reference, where -1e30 on every score leaves them equal.
///
/// # Panics
/// If the sizes do not fit.
pub fn relative_attention(x: &Relative<'_>, time: usize, scale: f32, mask: &RelativeMask) -> Var {
    let [batch, queries, heads, dim] = x.q.shape()[..] else {
        panic!("relative_attention: queries of shape {:?}", x.q.shape())
    };
    let keys = x.k.shape()[1];
    let distances = x.r.shape()[0];
    let (vector, plane) = ([heads, dim], [batch, time]);
    let is = |v: &Var, shape: &[usize]| v.shape()[..] == *shape;
    let fits = keys >= time
        && is(x.k, &[batch, keys, heads, dim])
        && is(x.v, &[batch, keys, heads, dim])
        && is(x.r, &[distances, heads, dim])
        && is(x.content_bias, &vector)
        && is(x.place_bias, &vector)
        && x.segments.is_none_or(|(b, e)| {
            is(b, &vector) && is(e, &[2, heads, dim]) && mask.types.is_some()
        })
        // Distances behind the end are those of keys that the causal order hides.
        && (distances >= keys + time || mask.causal && distances > keys)
        && [&mask.keys, &mask.types].into_iter().flatten().all(|m| m.shape()[..] == plane)
        && mask.permutation.as_ref().is_none_or(|p| p.shape()[..] == [batch, time, time])
        && match &mask.places {
            Some(p) => {
                p.shape()[..] == [batch, queries] && p.host().iter().all(|&i| i < time as i32)
            }
            None => queries == time,
        };
    assert!(
        fits,
        "relative_attention: {:?} over {:?}, {distances} distances, rows of {time}",
        x.q.shape(),
        x.k.shape()
    );
    let memory = keys - time;
    let sizes = RelativeSizes { batch, queries, time, memory, heads, dim, distances, scale };
    let mut inputs = vec![x.q, x.k, x.v, x.r, x.content_bias, x.place_bias];
    if let Some((bias, embedding)) = x.segments {
        inputs.extend([bias, embedding]);
    }
    let values: Vec<Tensor> = inputs.iter().map(|v| v.value().clone()).collect();
    let device = x.q.value().device();
    let mut out = Tensor::uninit(device, [batch, queries, heads * dim]);
    let mut lse = Tensor::uninit(device, [batch, heads, queries]);
    let call = RelativeAttention { inputs: &values, sizes, mask };
    backend::of(device).relative_attention(&call, &mut out, &mut lse);
    let slots: Vec<_> = inputs.iter().map(|v| v.slot()).collect();
    let saved: Vec<Saved> = inputs.iter().map(|v| v.saved()).collect();
    let (mask, saved_out) = (mask.clone(), out.clone());
    drop(values);
    Var::record(out, &inputs, move |grad, grads| {
        let values: Vec<Tensor> = saved.iter().map(Saved::get).collect();
        let mut gradients: Vec<Tensor> =
            values.iter().map(|v| Tensor::zeros(v.device(), *v.shape())).collect();
        let call = RelativeAttention { inputs: &values, sizes, mask: &mask };
        let saved = AttentionSaved { out: &saved_out, lse: &lse, grad: &grad };
        backend::of(grad.device()).relative_attention_grad(&call, saved, &mut gradients);
        for (slot, gradient) in slots.into_iter().zip(gradients) {
            grads.add(slot, gradient);
        }
    })
}
