//! Rows of a table by index.

use crate::{
    cpu::embedding as cpu,
    device::Device,
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
    match table.value().device() {
        Device::Cpu => cpu::gather(table.value().cpu(), ids.host(), width, out.cpu_mut()),
        Device::Plan => {}
    }
    let (slot, like, ids) = (table.slot(), *table.shape(), ids.clone());
    Var::record(out, &[table], move |grad, grads| {
        grads.accumulate(slot, like, &grad, |sum, fresh| match grad.device() {
            Device::Cpu => {
                let sum = sum.cpu_mut();
                if fresh {
                    sum.fill(0.0);
                }
                cpu::scatter_add(sum, ids.host(), padding, width, grad.cpu());
            }
            Device::Plan => {}
        });
    })
}

/// Rows of `x` [.., width] at the places `places` of `count` rows, zeros at the others: [count, width].
/// The other way round of a gather without repeats.
///
/// # Panics
/// If there are not as many places as rows, or one is beyond `count` or stands twice.
pub fn spread_rows(x: &Var, places: &Ids, count: usize) -> Var {
    let (rows, width) = x.value().rows();
    let mut taken = vec![false; count];
    let fits = places.host().iter().all(|&p| {
        p >= 0 && (p as usize) < count && !std::mem::replace(&mut taken[p as usize], true)
    });
    assert!(fits && places.len() == rows, "spread_rows: {:?} over {count} rows", x.shape());
    let mut out = Tensor::zeros(x.value().device(), [count, width]);
    match x.value().device() {
        Device::Cpu => cpu::scatter_add(out.cpu_mut(), places.host(), None, width, x.value().cpu()),
        Device::Plan => {}
    }
    let (slot, like, places) = (x.slot(), *x.shape(), places.clone());
    Var::record(out, &[x], move |grad, grads| {
        let mut dx = Tensor::uninit(grad.device(), like);
        match grad.device() {
            Device::Cpu => cpu::gather(grad.cpu(), places.host(), width, dx.cpu_mut()),
            Device::Plan => {}
        }
        grads.add(slot, dx);
    })
}
