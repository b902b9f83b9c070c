//! Rotary position embedding: Su et al. 2021, "RoFormer", eq. 34, in the half-split layout of
//! Hugging Face's `rotate_half`: dimension i turns with i + dim/2. Its gradient turns back.

use crate::{
    cpu::rotary as cpu,
    device::Device,
    tape::Var,
    tensor::{Ids, Tensor},
};

/// Cosines and sines by position, [positions, dim / 2].
#[derive(Clone, Debug)]
pub struct Rotary {
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// Tables for positions 0..`positions` from inverse frequencies (one for each pair of dimensions).
    pub fn new(device: Device, positions: usize, inverse_frequencies: &[f64]) -> Self {
        let table = |f: fn(f32) -> f32| {
            let values: Vec<f32> = (0..positions)
                // The angle is rounded to f32 first, as the reference implementation does.
                .flat_map(|p| inverse_frequencies.iter().map(move |&w| f(p as f32 * w as f32)))
                .collect();
            Tensor::from_slice(device, &values, [positions, inverse_frequencies.len()])
        };
        Self { cos: table(f32::cos), sin: table(f32::sin) }
    }

    /// How many positions the tables hold.
    pub fn positions(&self) -> usize {
        self.cos.shape()[0]
    }
}

/// Turns each head of `x` [batch, time, heads, dim] by its token's position ([batch, time]).
///
/// # Panics
/// If the sizes do not fit or a position is beyond the tables.
pub fn rotary(x: &Var, positions: &Ids, tables: &Rotary) -> Var {
    let [batch, time, heads, dim] = x.shape()[..] else {
        panic!("rotary: input {:?}, 4 dimensions expected", x.shape())
    };
    let half = tables.cos.shape()[1];
    assert!(
        positions.len() == batch * time && dim == 2 * half,
        "rotary: input {:?}, tables of {half}",
        x.shape()
    );
    let limit = tables.positions();
    if let Some(bad) = positions.host().iter().find(|&&p| p < 0 || p as usize >= limit) {
        panic!("rotary: position {bad}, tables hold {limit}");
    }
    let turn = move |x: &Tensor, positions: &Ids, tables: &Rotary, sign: f32| {
        let mut y = Tensor::stale(x.device(), *x.shape());
        match x.device() {
            Device::Cpu => cpu::rotate(
                x.cpu(),
                positions.host(),
                tables.cos.cpu(),
                tables.sin.cpu(),
                half,
                heads * dim,
                sign,
                y.cpu_mut(),
            ),
        }
        y
    };
    let y = turn(x.value(), positions, tables, 1.0);
    let (slot, positions, tables) = (x.slot(), positions.clone(), tables.clone());
    Var::record(y, &[x], move |grad, grads| grads.add(slot, turn(&grad, &positions, &tables, -1.0)))
}
