//! The order in which items are seen, and where one is in it.

use serde::{Deserialize, Serialize};

use crate::splitmix64;

/// A permutation of `0..n` for one epoch: the items sorted by a scattered key.
///
/// Python can repeat it:
///
/// ```python
/// import numpy as np
///
/// def splitmix64(x):
///     with np.errstate(over="ignore"):
///         z = np.asarray(x, np.uint64) + np.uint64(0x9E3779B97F4A7C15)
///         z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
///         z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
///         return z ^ (z >> np.uint64(31))
///
/// def shuffle(n, seed, epoch):
///     """order[position] is the item seen at this position."""
///     start = splitmix64(splitmix64(np.uint64(seed)) ^ np.uint64(epoch))
///     return np.argsort(splitmix64(start ^ np.arange(n, dtype=np.uint64)))
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shuffle(Vec<usize>);

impl Shuffle {
    /// The order of `n` items in this epoch. Takes 24 bytes an item while sorting, 8 afterwards.
    pub fn new(n: usize, seed: u64, epoch: u64) -> Self {
        let start = splitmix64(splitmix64(seed) ^ epoch);
        // SplitMix64 is a bijection, so no two keys are equal.
        let mut keyed: Vec<(u64, usize)> =
            (0..n).map(|i| (splitmix64(start ^ i as u64), i)).collect();
        keyed.sort_unstable();
        Self(keyed.into_iter().map(|(_, i)| i).collect())
    }

    /// The item at a position.
    pub fn get(&self, position: usize) -> Option<usize> {
        self.0.get(position).copied()
    }

    /// All items in their order.
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }
}

/// Where one is in the data: all that a resume needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Passes over the data that are behind.
    pub epoch: u64,
    /// Items of this epoch that are behind.
    pub position: u64,
}

/// Walks over `n` items epoch after epoch, shuffled anew in each.
///
/// ```
/// use athanor_data::{Cursor, Order};
///
/// let mut order = Order::new(10, 7, Cursor::default());
/// let seen: Vec<_> = order.by_ref().take(13).collect();
/// let resumed = Order::new(10, 7, order.cursor());
/// assert!(Order::new(10, 7, Cursor::default()).skip(13).take(50).eq(resumed.take(50)));
/// # assert_eq!(seen.len(), 13);
/// ```
#[derive(Clone, Debug)]
pub struct Order {
    n: usize,
    seed: u64,
    cursor: Cursor,
    shuffle: Shuffle,
}

impl Order {
    /// Goes on from `cursor`; one that points behind the end of its epoch (there were more items
    /// when it was taken) goes on at the next epoch's beginning.
    pub fn new(n: usize, seed: u64, cursor: Cursor) -> Self {
        Self { n, seed, cursor, shuffle: Shuffle::new(n, seed, cursor.epoch) }
    }

    /// Where the walk is: the item that comes next.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The number of items in an epoch.
    pub fn items(&self) -> usize {
        self.n
    }
}

impl Iterator for Order {
    type Item = usize;

    /// The next item; none only if there are no items at all.
    fn next(&mut self) -> Option<usize> {
        if self.n == 0 {
            return None;
        }
        if self.cursor.position >= self.n as u64 {
            self.cursor = Cursor { epoch: self.cursor.epoch + 1, position: 0 };
            self.shuffle = Shuffle::new(self.n, self.seed, self.cursor.epoch);
        }
        let item = self.shuffle.get(self.cursor.position as usize);
        self.cursor.position += 1;
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_numpy_orders() {
        // The docs' Python with numpy 2.4.
        assert_eq!(Shuffle::new(10, 42, 0).as_slice(), NUMPY_42_0);
        assert_eq!(Shuffle::new(10, 42, 1).as_slice(), NUMPY_42_1);
    }
    const NUMPY_42_0: [usize; 10] = [4, 3, 5, 8, 0, 9, 7, 6, 1, 2];
    const NUMPY_42_1: [usize; 10] = [8, 7, 1, 9, 0, 3, 4, 6, 5, 2];

    proptest! {
        #[test]
        fn is_a_permutation(n in 0usize..2000, seed: u64, epoch: u64) {
            let mut seen = Shuffle::new(n, seed, epoch).as_slice().to_vec();
            seen.sort_unstable();
            prop_assert!(seen.into_iter().eq(0..n));
        }

        #[test]
        fn resumes_anywhere(n in 1usize..60, seed: u64, stop in 0usize..300) {
            let mut order = Order::new(n, seed, Cursor::default());
            for _ in 0..stop {
                order.next();
            }
            let json = serde_json::to_string(&order.cursor()).unwrap();
            let resumed = Order::new(n, seed, serde_json::from_str(&json).unwrap());
            prop_assert!(order.take(200).eq(resumed.take(200)));
        }
    }
}
