//! Keys and values of the tokens so far, for generation.

use athanor_tensor::{DType, Device, Ids, Tensor, ops};

use crate::sizes::Sizes;

/// For each layer [batch, capacity, kv_heads, dim] of keys and of values, in f32 or bf16; rows may differ in
/// length.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    lengths: Vec<usize>,
    capacity: usize,
    device: Device,
}

impl KvCache {
    /// An empty cache for `batch` rows of at most `capacity` tokens;
    /// [`Model::kv_cache`](crate::Model::kv_cache) makes the one that suits a model.
    pub fn new(dtype: DType, device: Device, sizes: Sizes, batch: usize, capacity: usize) -> Self {
        let shape = [batch, capacity, sizes.kv_heads, sizes.head_dim];
        let empty = || Tensor::zeros_of(dtype, device, shape);
        Self {
            layers: (0..sizes.layers).map(|_| (empty(), empty())).collect(),
            lengths: vec![0; batch],
            capacity,
            device,
        }
    }

    /// Tokens in each row.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The most tokens that a row can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Counts `added[b]` new tokens of row b as kept. A padded prompt keeps fewer than were written:
    /// the next write overwrites the rest.
    pub fn advance(&mut self, added: &[usize]) {
        for (length, n) in self.lengths.iter_mut().zip(added) {
            *length += n;
        }
    }

    /// Drops all rows but those at `places`, in that order.
    ///
    /// # Panics
    /// If a place is not a row.
    pub fn keep(&mut self, places: &[usize]) {
        let rows: Vec<i32> = places.iter().map(|&p| p as i32).collect();
        let rows = Ids::new(self.device, rows, [places.len()]);
        for (keys, values) in &mut self.layers {
            *keys = ops::take_rows(keys, &rows);
            *values = ops::take_rows(values, &rows);
        }
        self.lengths = places.iter().map(|&p| self.lengths[p]).collect();
    }

    /// Adds the rows of another cache of the same model and capacity behind its own.
    ///
    /// # Panics
    /// If their capacities or dtypes differ.
    pub fn append(&mut self, other: &Self) {
        assert_eq!(self.capacity, other.capacity, "KvCache::append: capacities");
        for ((keys, values), (more_keys, more_values)) in self.layers.iter_mut().zip(&other.layers)
        {
            *keys = ops::append_rows(keys, more_keys);
            *values = ops::append_rows(values, more_values);
        }
        self.lengths.extend(&other.lengths);
    }

    /// Appends the new tokens' keys `k` and values `v` [batch, new, kv_heads, dim] to a layer and attends to all of
    /// its row with the queries `q` [batch, new, heads, dim]: [batch, new, heads·dim]. A query sees the last `window`
    /// places, its own included; None is all.
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        scale: f32,
        window: Option<usize>,
    ) -> Tensor {
        let starts = self.lengths.iter().map(|&n| n as i32).collect();
        let starts = Ids::new(self.device, starts, [self.lengths.len()]);
        let (keys, values) = &mut self.layers[layer];
        ops::cache_write(keys, k, &starts);
        ops::cache_write(values, v, &starts);
        ops::attention_cached(q, keys, values, &starts, scale, window)
    }
}
