//! The memory that a run is expected to take.

/// What a run is expected to take, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Held already: program, data, weights, optimiser.
    pub now: u64,
    /// What the steps add.
    pub steps: u64,
    /// Of that, what does not shrink with the batch.
    pub fixed: u64,
}

impl Expected {
    /// In all.
    pub fn total(&self) -> u64 {
        self.now + self.steps
    }

    /// The largest batch that takes at most `room` bytes more than now, of the `batch` that was planned.
    pub(crate) fn fitting(&self, batch: usize, room: u64) -> u64 {
        let shrinks = self.steps.saturating_sub(self.fixed).max(1);
        let left = room.saturating_sub(self.fixed);
        (u128::from(left) * batch as u128 / u128::from(shrinks)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_that_fits_takes_no_more_than_there_is() {
        let e = Expected { now: 7, steps: 1000, fixed: 200 };
        assert_eq!([100, 200, 300, 1000].map(|room| e.fitting(16, room)), [0, 0, 2, 16]);
    }
}
