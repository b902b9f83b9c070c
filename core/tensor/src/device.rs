//! Where tensors live and ops run.

/// A place that holds tensors and runs ops: the name of a [`Backend`](crate::backend::Backend). Model code only
/// passes it along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// All cores of this machine, f32, SIMD chosen at run time.
    #[default]
    Cpu,
    /// Nowhere: tensors have sizes and no values. Ops compute nothing and take the memory that they would
    /// take, which [`plan`](crate::plan) counts.
    Plan,
    /// One that was [registered](crate::backend::register), by its number.
    Registered(u8),
}

impl Device {
    /// Where values are read by this program: the processor's memory.
    pub const HOST: Self = Self::Cpu;

    /// Where an op over tensors of both runs: what is combined with a plan is one.
    ///
    /// # Panics
    /// If they are on two devices that compute.
    pub(crate) fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Plan, _) | (_, Self::Plan) => Self::Plan,
            (one, other) if one == other => one,
            (one, other) => panic!("an op over tensors on {one:?} and {other:?}"),
        }
    }
}

/// Fixes the number of CPU threads for the whole process (0: all cores). The calling thread becomes one
/// of them, so an op that it calls begins at once instead of waking a thread and waiting for it.
///
/// Results do not depend on it. Returns the number in use, which is the earlier
/// one if the pool was already running.
pub fn set_threads(threads: usize) -> usize {
    // A second call cannot resize rayon's global pool: the first choice stays.
    let _ =
        rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global();
    rayon::current_num_threads()
}
