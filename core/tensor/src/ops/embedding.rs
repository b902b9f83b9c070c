//! Rows of a table by index.

use crate::{
    backend,
    tape::Var,
    tensor::{Ids, Tensor},
};

/// out[…, :] = table[ids[…], :] for a table [rows, width]. Also gathers rows of any matrix.
/// The gradient adds up rows of equal ids.
///
/// # Panics
/// If the table is not a matrix or an id is not one of its rows.
pub fn embedding(table: &Var, ids: &Ids) -> Var {
    embedding_with_padding(table, ids, None)
}

/// [`embedding`] where the row `padding` is looked up but never learns: `padding_idx` of PyTorch's
/// `nn.Embedding`.
///
/// # Panics
/// As [`embedding`].
pub fn embedding_with_padding(table: &Var, ids: &Ids, padding: Option<i32>) -> Var {
    let [rows, width] = table.shape()[..] else {
        panic!("embedding: table of shape {:?}", table.shape())
    };
    if let Some(bad) = ids.host().iter().find(|&&i| i < 0 || i as usize >= rows) {
        panic!("embedding: id {bad} in a table of {rows} rows");
    }
    let mut shape = ids.shape().to_vec();
    shape.push(width);
    let mut out = Tensor::uninit(table.value().device(), &shape[..]);
    backend::of(out.device()).gather(table.value(), ids, &mut out);
    let (slot, like, ids) = (table.slot(), *table.shape(), ids.clone());
    Var::record(out, &[table], move |grad, grads| {
        let device = grad.device();
        let mut sum = grads.take_slot(slot).unwrap_or_else(|| Tensor::zeros(device, like));
        backend::of(device).scatter_add(&mut sum, &ids, padding, &grad);
        grads.add(slot, sum);
    })
}

/// Rows of `x` [.., width] at the places `places` of `count` rows, zeros at the others: [count, width].
/// The other way round of a gather without repeats.
///
/// # Panics
/// If there are not as many places as rows, or one is beyond `count` or is given twice.
pub fn spread_rows(x: &Var, places: &Ids, count: usize) -> Var {
    let (rows, width) = x.value().rows();
    let mut taken = vec![false; count];
    let fits = places.host().iter().all(|&p| {
        p >= 0 && (p as usize) < count && !std::mem::replace(&mut taken[p as usize], true)
    });
    assert!(fits && places.len() == rows, "spread_rows: {:?} over {count} rows", x.shape());
    let mut out = Tensor::zeros(x.value().device(), [count, width]);
    backend::of(out.device()).scatter_add(&mut out, places, None, x.value());
    let (slot, like, places) = (x.slot(), *x.shape(), places.clone());
    Var::record(out, &[x], move |grad, grads| {
        let mut dx = Tensor::uninit(grad.device(), like);
        backend::of(grad.device()).gather(&grad, &places, &mut dx);
        grads.add(slot, dx);
    })
}

/// Entries `rows` of the first dimension, without gradient; of any format.
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
    let mut shape = x.shape().to_vec();
    if let Some(first) = shape.first_mut() {
        *first = rows.len();
    }
    let mut out = Tensor::uninit_of(x.dtype(), x.device(), &shape[..]);
    backend::of(x.device()).gather(x, rows, &mut out);
    out
}
