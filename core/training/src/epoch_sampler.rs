//! Which items a step takes.

use athanor_data::{Cursor, Order};

/// A shuffled walk over items, epoch after epoch, that can be asked for any step; going from one
/// step to the next costs no new shuffle.
#[derive(Clone, Debug)]
pub struct EpochSampler {
    order: Order,
    seed: u64,
}

impl EpochSampler {
    /// A walk over `items` (at least one).
    pub fn new(items: usize, seed: u64) -> Self {
        Self { order: Order::new(items, seed, Cursor::default()), seed }
    }

    /// Where step `step` of `per_step` items begins.
    pub fn cursor(&self, step: u64, per_step: usize) -> Cursor {
        let items = self.order.items().max(1) as u64;
        let first = step * per_step as u64;
        Cursor { epoch: first / items, position: first % items }
    }

    /// The items of a step.
    pub fn items(&mut self, step: u64, per_step: usize) -> Vec<usize> {
        let cursor = self.cursor(step, per_step);
        let now = self.order.cursor();
        // The end of an epoch and the beginning of the next are one place.
        let at_end = now.position >= self.order.items() as u64;
        let here = if at_end { Cursor { epoch: now.epoch + 1, position: 0 } } else { now };
        if here != cursor {
            self.order = Order::new(self.order.items(), self.seed, cursor);
        }
        self.order.by_ref().take(per_step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_step_can_be_asked_for() {
        for (n, per_step) in [(7, 3), (5, 5), (4, 9), (1, 2)] {
            let mut walk = EpochSampler::new(n, 3);
            let all: Vec<Vec<usize>> = (0..20).map(|s| walk.items(s, per_step)).collect();
            for step in [3u64, 19, 0, 7] {
                assert_eq!(EpochSampler::new(n, 3).items(step, per_step), all[step as usize]);
                assert_eq!(walk.items(step, per_step), all[step as usize]);
            }
            let flat: Vec<usize> = all.concat();
            let mut first: Vec<usize> = flat[..n].to_vec();
            first.sort_unstable();
            assert!(first.into_iter().eq(0..n));
        }
    }
}
