//! One forward pass, and what it carries along.

use athanor_tensor::{
    Graph, Ids, Rng, Tensor, Var,
    ops::{self, Mask, Qkv, Window},
};

use crate::{cache::KvCache, input::Input};

/// Dropout during training: each call site draws from a stream of its own.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Probability of zeroing.
    pub probability: f32,
    /// The stream of this micro-batch.
    pub rng: Rng,
}

/// What travels through a forward pass.
pub struct Pass<'a> {
    /// The parameters bound to a tape, or not.
    pub graph: &'a Graph<'a>,
    /// The tokens.
    pub input: &'a Input,
    /// Keys and values of earlier tokens; the pass appends its own.
    pub cache: Option<&'a mut KvCache>,
    /// Dropout, while training.
    pub dropout: Option<Dropout>,
    /// Collects the input of every layer and the final output, if wanted.
    pub hidden: Option<Vec<Tensor>>,
    /// Collects each layer's memory for the next segment, if wanted.
    pub memory: Option<Vec<Tensor>>,
    sites: u64,
    skips_padding: bool,
    /// Where each row begins, if the rows follow one another without padding.
    starts: Option<Ids>,
}

impl<'a> Pass<'a> {
    /// A plain pass.
    pub fn new(graph: &'a Graph<'a>, input: &'a Input) -> Self {
        Self {
            graph,
            input,
            cache: None,
            dropout: None,
            hidden: None,
            memory: None,
            sites: 0,
            skips_padding: false,
            starts: None,
        }
    }

    /// With dropout.
    #[must_use]
    pub fn with_dropout(mut self, dropout: Option<Dropout>) -> Self {
        self.dropout = dropout;
        self
    }

    /// Computes nothing at places that `input.mask.keys` marks as padding, where the family can do that: an
    /// encoder. The hidden states are zeros there; those of tokens are the same. For callers that read
    /// tokens only.
    #[must_use]
    pub fn skip_padding(mut self) -> Self {
        self.skips_padding = true;
        self
    }

    /// The places of the tokens in [batch · time], if the padding between them is to be skipped. From
    /// here on [`attend`](Self::attend) takes [1, tokens, …].
    pub(crate) fn pack(&mut self) -> Option<Vec<i32>> {
        let keys = self.input.mask.keys.as_ref().filter(|_| self.skips_padding)?.host();
        let plain = self.hidden.is_none() && self.cache.is_none() && !self.input.mask.causal;
        let tokens: Vec<i32> = (0..).zip(keys).filter(|(_, k)| **k != 0).map(|(i, _)| i).collect();
        if !plain || tokens.is_empty() || tokens.len() == keys.len() {
            return None;
        }
        let (batch, time) = self.input.sizes();
        let mut starts = vec![0];
        for row in keys.chunks(time) {
            starts.push(starts[starts.len() - 1] + row.iter().filter(|k| **k != 0).count() as i32);
        }
        self.starts = Some(Ids::new(self.input.ids.device(), starts, [batch + 1]));
        Some(tokens)
    }

    /// With a cache.
    #[must_use]
    pub fn with_cache(mut self, cache: &'a mut KvCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Whether anything is dropped.
    pub fn drops(&self) -> bool {
        self.dropout.is_some_and(|d| d.probability > 0.0)
    }

    /// Dropout at the next site.
    pub fn drop(&mut self, x: Var) -> Var {
        let Some(dropout) = self.dropout.filter(|d| d.probability > 0.0) else { return x };
        self.sites += 1;
        ops::dropout(&x, dropout.probability, dropout.rng.at(self.sites))
    }

    /// Notes a hidden state.
    pub fn note(&mut self, x: &Var) {
        if let Some(hidden) = &mut self.hidden {
            hidden.push(x.value().clone());
        }
    }

    /// Attention of layer `layer`: [batch, time, heads·dim] of queries [batch, time, heads, dim], keys and values
    /// [batch, time, kv_heads, dim], or all three packed as [batch, time, (heads + 2·kv_heads)·dim]. `scale` is the
    /// factor on every score. With a cache, keys and values of earlier tokens are attended to as well, and these
    /// are added to them. `heads` counts those of queries, then those of keys and values.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn attend(&mut self, layer: usize, qkv: &Qkv<'_>, heads: [usize; 2], scale: f32) -> Var {
        self.attend_window(layer, qkv, heads, scale, None)
    }

    /// [`Pass::attend`] where a query sees the places of `window` only; with a cache no token sees later ones.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn attend_window(
        &mut self,
        layer: usize,
        qkv: &Qkv<'_>,
        [heads, kv_heads]: [usize; 2],
        scale: f32,
        window: Option<Window>,
    ) -> Var {
        let Some(cache) = &mut self.cache else {
            let window = window.or(self.input.mask.window);
            let mask = match &self.starts {
                Some(starts) => Mask { window, starts: Some(starts.clone()), ..Mask::default() },
                None => Mask { window, ..self.input.mask.clone() },
            };
            return ops::attention(qkv, heads, kv_heads, scale, &mask);
        };
        let (batch, time) = self.input.sizes();
        let (q, k, v) = match qkv {
            Qkv::Separate(q, k, v) => (q.value().clone(), k.value().clone(), v.value().clone()),
            Qkv::Packed(x) => {
                let width = x.shape()[2];
                let dim = width / (heads + 2 * kv_heads);
                let (wide, narrow) = (heads * dim, kv_heads * dim);
                let cut = |from, to, heads| {
                    ops::columns(x.value(), from, to).reshape([batch, time, heads, dim])
                };
                (
                    cut(0, wide, heads),
                    cut(wide, wide + narrow, kv_heads),
                    cut(wide + narrow, width, kv_heads),
                )
            }
        };
        let last = window.map(|w| w.before.saturating_add(1));
        Var::constant(cache.attend(layer, &q, &k, &v, scale, last))
    }
}
