//! Attention with relative positions and segments: Dai et al. 2019, "Transformer-XL", section 3.3, and
//! Yang et al. 2019, "XLNet", sections 2.3 (two streams) and 2.5 (relative segments).

use crate::{
    cpu::{
        parallel::DisjointMut,
        relative::{self as cpu, Dims, Inputs, Outputs, Saved, View},
    },
    device::Device,
    tape::{Operand, Var},
    tensor::{Ids, Tensor},
};

/// Who sees whom in [`relative_attention`]. Memory is seen by all, but for `same_length`.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// Only keys at or before the query.
    pub causal: bool,
    /// With `causal`: as many keys for each query. The rule is the reference's: key j of memory and row
    /// together is hidden from place i if j < i and j < time.
    pub same_length: bool,
    /// A query always sees its own place: the content stream.
    pub own: bool,
    /// Keys marked 1, [batch, time]: padding is 0.
    pub keys: Option<Ids>,
    /// Above 0 where place i must not see key j, [batch, time, time].
    pub permutation: Option<Tensor>,
    /// The place of each query in its row, [batch, queries], -1 for a query without: it gives zeros.
    /// Without, queries are the places 0, 1, 2, ….
    pub places: Option<Ids>,
    /// Types of the row's tokens, [batch, time]; the memory's are 0.
    pub types: Option<Ids>,
}

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

/// softmax(scale·((q + u)·k + (q + v)·r + (q + b)·s))·values; the result is
/// [batch, queries, heads·dim]. `time` is the row's length without memory. A query that may see nothing
/// sees all keys alike, as in the reference, where -1e30 on every score leaves them equal.
///
/// # Panics
/// If the sizes do not fit.
pub fn relative_attention(x: &Relative<'_>, time: usize, scale: f32, sight: &Sight) -> Var {
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
            is(b, &vector) && is(e, &[2, heads, dim]) && sight.types.is_some()
        })
        // Distances behind the end are those of keys that the causal order hides.
        && (distances >= keys + time || sight.causal && distances > keys)
        && [&sight.keys, &sight.types].into_iter().flatten().all(|m| m.shape()[..] == plane)
        && sight.permutation.as_ref().is_none_or(|p| p.shape()[..] == [batch, time, time])
        && match &sight.places {
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
    let dims = Dims { batch, queries, time, memory: keys - time, heads, dim, distances, scale };
    let mut inputs = vec![x.q, x.k, x.v, x.r, x.content_bias, x.place_bias];
    if let Some((bias, embedding)) = x.segments {
        inputs.extend([bias, embedding]);
    }
    let values: Vec<Tensor> = inputs.iter().map(|v| v.value().clone()).collect();
    let device = x.q.value().device();
    let mut out = Tensor::uninit(device, [batch, queries, heads * dim]);
    let mut lse = Tensor::uninit(device, [batch, heads, queries]);
    match device {
        Device::Cpu => {
            cpu::forward(parts(&values), dims, sight.view(), out.cpu_mut(), lse.cpu_mut());
        }
        Device::Plan => {}
    }
    let slots: Vec<_> = inputs.iter().map(|v| v.slot()).collect();
    let saved: Vec<Operand> = inputs.iter().map(|v| v.saved()).collect();
    let (sight, saved_out) = (sight.clone(), out.clone());
    drop(values);
    Var::record(out, &inputs, move |grad, grads| {
        let values: Vec<Tensor> = saved.iter().map(Operand::get).collect();
        let mut outs: Vec<Tensor> =
            values.iter().map(|v| Tensor::zeros(v.device(), *v.shape())).collect();
        match grad.device() {
            Device::Cpu => {
                let saved = Saved { out: saved_out.cpu(), lse: lse.cpu(), dout: grad.cpu() };
                let to: Vec<DisjointMut> =
                    outs.iter_mut().map(|t| DisjointMut::new(t.cpu_mut())).collect();
                let to = Outputs {
                    q: to[0],
                    k: to[1],
                    v: to[2],
                    r: to[3],
                    content_bias: to[4],
                    place_bias: to[5],
                    segments: to.get(6).map(|&bias| (bias, to[7])),
                };
                cpu::backward(parts(&values), &saved, dims, sight.view(), to);
            }
            Device::Plan => {}
        }
        for (slot, out) in slots.into_iter().zip(outs) {
            grads.add(slot, out);
        }
    })
}

fn parts(values: &[Tensor]) -> Inputs<'_> {
    Inputs {
        q: values[0].cpu(),
        k: values[1].cpu(),
        v: values[2].cpu(),
        r: values[3].cpu(),
        content_bias: values[4].cpu(),
        place_bias: values[5].cpu(),
        segments: values.get(6).map(|bias| (bias.cpu(), values[7].cpu())),
    }
}

impl Sight {
    fn view(&self) -> View<'_> {
        View {
            causal: self.causal,
            same_length: self.same_length,
            own: self.own,
            keys: self.keys.as_ref().map(Ids::host),
            permutation: self.permutation.as_ref().map(Tensor::cpu),
            places: self.places.as_ref().map(Ids::host),
            types: self.types.as_ref().map(Ids::host),
        }
    }
}
