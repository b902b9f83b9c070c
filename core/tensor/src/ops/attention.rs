//! Scaled dot-product attention (Vaswani et al. 2017, eq. 1) in tiles, with grouped queries
//! (Ainslie et al. 2023). The derivative is FlashAttention-2's algorithm 2 (Dao 2023).

use crate::{
    cpu::{
        attention::{self as cpu, Dims, Layout, MaskView, Saved},
        cached,
        embedding::gather,
        parallel::DisjointMut,
    },
    device::Device,
    dtype::{Bf16, DType},
    tape::{Operand, Var},
    tensor::{Ids, Tensor},
};

/// Which keys a query may see; all conditions must hold. Ids are [batch, time].
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// Only keys at or before the query.
    pub causal: bool,
    /// Only keys of the query's document.
    pub documents: Option<Ids>,
    /// Only keys marked 1: padding is 0.
    pub keys: Option<Ids>,
    /// Only keys fewer than this many places before the query: a sliding window (Beltagy et al. 2020,
    /// section 3.1), which counts the query itself.
    pub window: Option<usize>,
    /// Rows of different lengths behind one another in a batch of one, so that no padding is computed:
    /// row i is the tokens `starts[i]..starts[i + 1]`, and nobody sees another row's. [rows + 1].
    pub starts: Option<Ids>,
}

impl Mask {
    /// Causal and nothing else.
    pub fn causal() -> Self {
        Self { causal: true, ..Self::default() }
    }

    fn view(&self) -> MaskView<'_> {
        MaskView {
            causal: self.causal,
            documents: self.documents.as_ref().map(Ids::host),
            keys: self.keys.as_ref().map(Ids::host),
            window: self.window.unwrap_or(usize::MAX),
            starts: self.starts.as_ref().map(Ids::host),
        }
    }
}

/// Queries, keys and values of a projection.
pub enum Qkv<'a> {
    /// One tensor [batch, time, (heads + 2·kv_heads)·dim]: queries, keys, values side by side.
    Packed(&'a Var),
    /// [batch, time, heads, dim], and twice [batch, time, kv_heads, dim].
    Separate(&'a Var, &'a Var, &'a Var),
}

/// softmax(scale·q·kᵀ)·v for each head; the result is [batch, time, heads·dim]. A query that may see
/// nothing gives zeros.
///
/// # Panics
/// If the sizes do not fit.
pub fn attention(qkv: &Qkv<'_>, heads: usize, kv_heads: usize, scale: f32, mask: &Mask) -> Var {
    let first = match qkv {
        Qkv::Packed(x) => x,
        Qkv::Separate(q, ..) => q,
    };
    let [batch, time] = [first.shape()[0], first.shape()[1]];
    let tokens = batch * time;
    let dim = first.value().len()
        / tokens.max(1)
        / match qkv {
            Qkv::Packed(_) => heads + 2 * kv_heads,
            Qkv::Separate(..) => heads,
        };
    let rows = mask.starts.as_ref().map_or(batch, |s| s.len().saturating_sub(1));
    let dims = Dims { batch: rows, time, heads, kv_heads, dim, scale };
    let (wide, narrow) = (heads * dim, kv_heads * dim);
    let (inputs, layouts): (Vec<&Var>, [Layout; 3]) = match qkv {
        Qkv::Packed(x) => {
            let stride = wide + 2 * narrow;
            (vec![x], [0, wide, wide + narrow].map(|offset| Layout { offset, stride }))
        }
        Qkv::Separate(q, k, v) => {
            (vec![q, k, v], [wide, narrow, narrow].map(|stride| Layout { offset: 0, stride }))
        }
    };
    let fits = match &inputs[..] {
        [x] => x.value().len() == tokens * (wide + 2 * narrow),
        all => all.iter().zip(&layouts).all(|(x, l)| x.value().len() == tokens * l.stride),
    };
    let masks = [&mask.documents, &mask.keys].into_iter().flatten().all(|m| m.len() == tokens);
    let starts = mask.starts.as_ref().is_none_or(|starts| {
        let starts = starts.host();
        batch == 1
            && starts.first() == Some(&0)
            && starts.last() == Some(&(tokens as i32))
            && starts.windows(2).all(|w| w[0] <= w[1])
    });
    assert!(
        fits && masks && starts && heads.is_multiple_of(kv_heads),
        "attention: {:?} with {heads} heads, {kv_heads} key heads",
        first.shape()
    );
    let values: Vec<Tensor> = inputs.iter().map(|v| v.value().clone()).collect();
    let part = |values: &[Tensor], i: usize| values[if values.len() == 1 { 0 } else { i }].clone();
    let device = first.value().device();
    let mut out = Tensor::uninit(device, [batch, time, wide]);
    let mut lse = Tensor::uninit(device, [batch, heads, time]);
    let [q, k, v] = [0, 1, 2].map(|i| part(&values, i));
    let [ql, kl, vl] = layouts;
    match device {
        Device::Cpu => cpu::forward(
            q.cpu(),
            ql,
            k.cpu(),
            kl,
            v.cpu(),
            vl,
            dims,
            mask.view(),
            out.cpu_mut(),
            lse.cpu_mut(),
        ),
        Device::Plan => {}
    }
    let slots: Vec<_> = inputs.iter().map(|v| v.slot()).collect();
    let saved: Vec<Operand> = inputs.iter().map(|v| v.saved()).collect();
    let (mask, saved_out) = (mask.clone(), out.clone());
    drop((values, q, k, v));
    Var::record(out, &inputs, move |grad, grads| {
        let values: Vec<Tensor> = saved.iter().map(Operand::get).collect();
        let [q, k, v] = [0, 1, 2].map(|i| part(&values, i));
        let mut outs: Vec<Tensor> =
            values.iter().map(|v| Tensor::zeros(v.device(), *v.shape())).collect();
        match grad.device() {
            Device::Cpu => {
                let saved = Saved {
                    q: q.cpu(),
                    ql,
                    k: k.cpu(),
                    kl,
                    v: v.cpu(),
                    vl,
                    out: saved_out.cpu(),
                    lse: lse.cpu(),
                    dout: grad.cpu(),
                };
                let shared: Vec<DisjointMut> =
                    outs.iter_mut().map(|t| DisjointMut::new(t.cpu_mut())).collect();
                let places = [0, 1, 2].map(|i| shared[if shared.len() == 1 { 0 } else { i }]);
                cpu::backward(&saved, dims, mask.view(), places);
            }
            Device::Plan => {}
        }
        for (slot, out) in slots.into_iter().zip(outs) {
            grads.add(slot, out);
        }
    })
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
    match cache.device() {
        Device::Cpu => {
            let (starts, sizes) = (starts.host(), [capacity, time, heads * dim]);
            match cache.dtype() {
                DType::F32 => cached::write::<f32>(cache.cpu_mut(), new.cpu(), starts, sizes),
                DType::Bf16 => {
                    cached::write::<Bf16>(cache.elements_mut(), new.cpu(), starts, sizes);
                }
            }
        }
        Device::Plan => {}
    }
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
    let dims = Dims { batch, time, heads, kv_heads, dim, scale };
    match q.device() {
        Device::Cpu => {
            let (starts, window) = (starts.host(), window.unwrap_or(usize::MAX));
            let (q, out) = (q.cpu(), out.cpu_mut());
            match k.dtype() {
                DType::F32 => {
                    cached::cached::<f32>(q, k.cpu(), v.cpu(), capacity, starts, dims, window, out)
                }
                DType::Bf16 => cached::cached::<Bf16>(
                    q,
                    k.elements(),
                    v.elements(),
                    capacity,
                    starts,
                    dims,
                    window,
                    out,
                ),
            }
        }
        Device::Plan => {}
    }
    out
}

fn four(t: &Tensor) -> [usize; 4] {
    <[usize; 4]>::try_from(&t.shape()[..])
        .unwrap_or_else(|_| panic!("attention over a cache: shape {:?}", t.shape()))
}

/// Columns `from..to` of the last dimension, without gradient: one part of a packed projection.
///
/// # Panics
/// If the range is not within the row.
pub fn columns(x: &Tensor, from: usize, to: usize) -> Tensor {
    let (_, width) = x.rows();
    assert!(from <= to && to <= width, "columns {from}..{to} of {:?}", x.shape());
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = to - from;
    }
    let mut out = Tensor::uninit(x.device(), &shape[..]);
    match x.device() {
        Device::Cpu => {
            for (out, row) in out
                .cpu_mut()
                .chunks_exact_mut((to - from).max(1))
                .zip(x.cpu().chunks_exact(width.max(1)))
            {
                out.copy_from_slice(&row[from..to]);
            }
        }
        Device::Plan => {}
    }
    out
}

/// Entries `rows` of the first dimension, without gradient.
///
/// # Panics
/// If a row is not there.
pub fn take_rows(x: &Tensor, rows: &Ids) -> Tensor {
    let count = x.shape().first().copied().unwrap_or(0);
    assert!(
        rows.host().iter().all(|&r| r >= 0 && (r as usize) < count),
        "take_rows: {rows:?} of {:?}",
        x.shape()
    );
    let width = x.len().checked_div(count).unwrap_or(0);
    let mut shape = x.shape().to_vec();
    if let Some(first) = shape.first_mut() {
        *first = rows.len();
    }
    let mut out = Tensor::uninit_of(x.dtype(), x.device(), &shape[..]);
    match x.device() {
        Device::Cpu => match x.dtype() {
            DType::F32 => gather::<f32>(x.cpu(), rows.host(), width, out.cpu_mut()),
            DType::Bf16 => gather::<Bf16>(x.elements(), rows.host(), width, out.elements_mut()),
        },
        Device::Plan => {}
    }
    out
}
