//! Rotary position embedding: Su et al. 2021, "RoFormer", eq. 34, in the half-split layout of
//! Hugging Face's `rotate_half`: dimension i turns with i + dim/2. Its gradient turns back.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    backend,
    device::Device,
    tape::Var,
    tensor::{Ids, Tensor},
};

/// Cosines and sines by position, [positions, dim / 2]. The tables grow with the positions that are
/// asked for, so that a long context costs nothing before it is used.
#[derive(Clone, Debug)]
pub struct Rotary {
    device: Device,
    frequencies: Arc<[f32]>,
    scale: f32,
    limit: usize,
    tables: Arc<Mutex<[Tensor; 2]>>,
}

impl Rotary {
    /// For positions 0..`positions`, from inverse frequencies (one for each pair of dimensions).
    pub fn new(device: Device, positions: usize, inverse_frequencies: &[f64]) -> Self {
        Self::scaled(device, positions, inverse_frequencies, 1.0)
    }

    /// The same with cosines and sines times `scale`: YaRN's attention factor (Peng et al. 2023,
    /// section 3.4).
    pub fn scaled(
        device: Device,
        positions: usize,
        inverse_frequencies: &[f64],
        scale: f32,
    ) -> Self {
        let frequencies: Arc<[f32]> = inverse_frequencies.iter().map(|&w| w as f32).collect();
        let empty = || Tensor::zeros(device, [0, frequencies.len()]);
        let tables = Arc::new(Mutex::new([empty(), empty()]));
        Self { device, frequencies, scale, limit: positions, tables }
    }

    /// How many positions there are.
    pub fn positions(&self) -> usize {
        self.limit
    }

    /// Tables of at least `count` positions.
    fn upto(&self, count: usize) -> [Tensor; 2] {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if tables[0].shape()[0] < count {
            let rows = count.next_power_of_two().max(64).min(self.limit);
            let table = |f: fn(f32) -> f32| {
                let values: Vec<f32> = (0..rows)
                    // The angle is rounded to f32 first, as the reference implementation does.
                    .flat_map(|p| self.frequencies.iter().map(move |&w| f(p as f32 * w)))
                    .map(|v| v * self.scale)
                    .collect();
                Tensor::from_slice(self.device, &values, [rows, self.frequencies.len()])
            };
            *tables = [table(f32::cos), table(f32::sin)];
        }
        tables.clone()
    }
}

/// Turns each head of `x` [batch, time, heads, dim] by its token's position ([batch, time]).
///
/// # Panics
/// If the sizes do not fit or a position is beyond the tables.
pub fn rotary(x: &Var, positions: &Ids, tables: &Rotary) -> Var {
    let [batch, time, _, dim] = x.shape()[..] else {
        panic!("rotary: input {:?}, 4 dimensions expected", x.shape())
    };
    let half = tables.frequencies.len();
    assert!(
        positions.len() == batch * time && dim == 2 * half,
        "rotary: input {:?}, tables of {half}",
        x.shape()
    );
    let limit = tables.positions();
    if let Some(bad) = positions.host().iter().find(|&&p| p < 0 || p as usize >= limit) {
        panic!("rotary: position {bad}, tables hold {limit}");
    }
    let last = positions.host().iter().max().map_or(0, |&p| p as usize + 1);
    let tables = tables.upto(last);
    let turn = |x: &Tensor, positions: &Ids, tables: &[Tensor; 2], sign: f32| {
        let mut y = Tensor::uninit(x.device(), *x.shape());
        backend::of(x.device()).rotary(x, positions, tables, sign, &mut y);
        y
    };
    let y = turn(x.value(), positions, &tables, 1.0);
    let (slot, positions) = (x.slot(), positions.clone());
    Var::record(y, &[x], move |grad, grads| grads.add(slot, turn(&grad, &positions, &tables, -1.0)))
}
