//! Which examples a step learns from.
//!
//! Examples are walked in a shuffled order, epoch after epoch. Those of [`WINDOW`] steps are sorted by
//! length, cut into micro-batches and these shuffled, so that rows of one batch are about as long as each
//! other and little is padded. Packed rows are all about as long as they may be, and are not sorted.

use athanor_data::{Cursor, Shuffle};
use athanor_training::EpochSampler;

/// Steps whose examples are sorted together.
const WINDOW: usize = 16;

pub(crate) struct Batches {
    walk: EpochSampler,
    /// None for packed rows.
    lengths: Option<Vec<usize>>,
    batch: usize,
    accumulate: usize,
    seed: u64,
    /// The micro-batches of one window.
    window: Option<(u64, Vec<Vec<usize>>)>,
}

impl Batches {
    /// `lengths` of all examples (at least one), `batch` examples to a micro-batch, `accumulate` of
    /// these to a step.
    pub fn by_length(lengths: Vec<usize>, batch: usize, accumulate: usize, seed: u64) -> Self {
        let walk = EpochSampler::new(lengths.len(), seed);
        Self { walk, lengths: Some(lengths), batch, accumulate, seed, window: None }
    }

    /// `rows` packed rows (at least one), `batch` of them to a micro-batch.
    pub fn of_rows(rows: usize, batch: usize, accumulate: usize, seed: u64) -> Self {
        Self {
            walk: EpochSampler::new(rows, seed),
            lengths: None,
            batch,
            accumulate,
            seed,
            window: None,
        }
    }

    fn of_window(&mut self, window: u64, lengths: &[usize]) -> Vec<Vec<usize>> {
        let mut items = self.walk.items(window, WINDOW * self.accumulate * self.batch);
        items.sort_by_key(|&i| lengths[i]);
        let all: Vec<Vec<usize>> = items.chunks(self.batch).map(<[usize]>::to_vec).collect();
        let order = Shuffle::new(all.len(), self.seed, window);
        order.as_slice().iter().map(|&i| all[i].clone()).collect()
    }

    /// The micro-batches of a step, a function of the step alone.
    pub fn step(&mut self, step: u64) -> Vec<Vec<usize>> {
        let Some(lengths) = self.lengths.take() else {
            let rows = self.walk.items(step, self.accumulate * self.batch);
            return rows.chunks(self.batch).map(<[usize]>::to_vec).collect();
        };
        let (window, place) = (step / WINDOW as u64, (step % WINDOW as u64) as usize);
        let all = match self.window.take() {
            Some((known, all)) if known == window => all,
            _ => self.of_window(window, &lengths),
        };
        let first = place * self.accumulate;
        let found = all[first..first + self.accumulate].to_vec();
        self.window = Some((window, all));
        self.lengths = Some(lengths);
        found
    }

    /// Where the step's data begin.
    pub fn cursor(&self, step: u64) -> Cursor {
        let of_step = self.accumulate * self.batch;
        match self.lengths {
            Some(_) => self.walk.cursor(step / WINDOW as u64, WINDOW * of_step),
            None => self.walk.cursor(step, of_step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_step_can_be_asked_for_and_all_examples_come() {
        let lengths: Vec<usize> = (0..96).map(|i| (i * 37) % 50).collect();
        let new = || Batches::by_length(lengths.clone(), 3, 2, 7);
        let mut batches = new();
        let all: Vec<Vec<Vec<usize>>> = (0..40).map(|s| batches.step(s)).collect();
        for step in [39, 0, 17, 16, 3] {
            assert_eq!(new().step(step), all[step as usize]);
            assert_eq!(batches.step(step), all[step as usize]);
        }
        // 16 steps of 6 are an epoch of 96.
        let mut first: Vec<usize> = all[..16].concat().concat();
        first.sort_unstable();
        assert!(first.into_iter().eq(0..96));
        let spread = |b: &Vec<usize>| {
            let of = |i: &usize| lengths[*i];
            b.iter().map(of).max().unwrap() - b.iter().map(of).min().unwrap()
        };
        assert!(all.concat().iter().all(|b| spread(b) < 10));
    }
}
