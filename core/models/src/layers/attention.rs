//! Multi-head attention with a projection each to queries, keys and values: Vaswani et al. 2017, section 3.2.2;
//! with fewer heads for keys and values, Ainslie et al. 2023, "GQA".

use athanor_tensor::{
    Var,
    ops::{self, Qkv, Rotary, Window},
};

use super::{Linear, Norm};
use crate::pass::Pass;

/// Attention of one block.
pub(crate) struct Attention {
    /// Projections of hidden states to queries [.., heads·dim], to keys and to values [.., kv_heads·dim].
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    /// From [.., heads·dim] to hidden states.
    pub output: Linear,
    /// Norms of queries and keys, over dim.
    pub norms: Option<[Norm; 2]>,
    /// Query heads, and those of keys and values.
    pub heads: [usize; 2],
    /// Width of a head.
    pub dim: usize,
    /// Factor on every score.
    pub scale: f32,
    /// The places around it that a query sees; None is all that the input's mask allows.
    pub window: Option<Window>,
}

impl Attention {
    /// [batch, time, hidden] of `x` [batch, time, hidden], in block `layer` of the pass; `rotary` turns queries and
    /// keys by the input's positions.
    pub(crate) fn apply(
        &self,
        pass: &mut Pass<'_>,
        layer: usize,
        x: &Var,
        rotary: Option<&Rotary>,
    ) -> Var {
        let g = pass.graph;
        let (batch, time) = (x.shape()[0], x.shape()[1]);
        let [heads, kv_heads] = self.heads;
        let split = |map: &Linear, heads: usize| {
            ops::reshape(&map.apply(g, x), [batch, time, heads, self.dim])
        };
        let turn = |x: Var, norm: usize| {
            let x = match &self.norms {
                Some(norms) => norms[norm].apply(g, &x),
                None => x,
            };
            match rotary {
                Some(rotary) => ops::rotary(&x, &pass.input.positions, rotary),
                None => x,
            }
        };
        let q = turn(split(&self.query, heads), 0);
        let k = turn(split(&self.key, kv_heads), 1);
        let v = split(&self.value, kv_heads);
        let qkv = Qkv::Separate(&q, &k, &v);
        let seen = pass.attend_window(layer, &qkv, self.heads, self.scale, self.window);
        self.output.apply(g, &seen)
    }
}
