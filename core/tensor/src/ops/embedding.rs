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
    let mut out = Tensor::stale(table.value().device(), &shape[..]);
    match table.value().device() {
        Device::Cpu => cpu::gather(table.value().cpu(), ids.host(), width, out.cpu_mut()),
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
        });
    })
}
