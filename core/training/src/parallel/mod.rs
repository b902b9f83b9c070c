//! Processes that train one model together, each on its share of a step's rows.
//!
//! `fit` gives each process every n-th micro-batch of a step; rank 0 writes metrics, samples and checkpoints.
//! Reinforcement learning does not share its episodes yet: it runs with [`Alone`].
//!
//! Architecture Invariant: sums run in the order of the ranks, so a run has its bytes for each world size.
//! Batches depend on the step alone, so the weight of a whole step is known to every rank without asking.

use athanor_store::Result;
use athanor_tensor::{GradSet, Params};

/// How the processes of a run exchange gradients and weights.
pub trait Communicator: Send + Sync {
    /// This process among [`size`](Self::size), from 0. Rank 0 writes what a run leaves.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// Sums gradients and figures over all ranks, in their order; every rank gets the sums.
    ///
    /// # Errors
    /// Failed, when a process is lost.
    fn sum(&self, grads: &mut GradSet, figures: &mut [f64]) -> Result<()>;

    /// Gives every rank the parameters of rank 0.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    fn broadcast(&self, params: &mut Params) -> Result<()>;

    /// Waits for all.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    fn barrier(&self) -> Result<()>;
}

/// One process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Communicator for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut GradSet, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn broadcast(&self, _: &mut Params) -> Result<()> {
        Ok(())
    }

    fn barrier(&self) -> Result<()> {
        Ok(())
    }
}
