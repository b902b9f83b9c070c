//! Pooled, 64-byte-aligned memory: a training step asks for the same sizes again and
//! again, and the system's allocator would map and clear fresh pages each time.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytemuck::{Pod, Zeroable};

/// One cache line; makes every buffer aligned for 512-bit loads.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

// SAFETY: sixteen floats without padding; every bit pattern is one, all zeros included.
#[allow(unsafe_code)]
unsafe impl Zeroable for Line {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Pod for Line {}

static FREE: Mutex<BTreeMap<usize, Vec<Vec<Line>>>> = Mutex::new(BTreeMap::new());
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static HELD: AtomicUsize = AtomicUsize::new(0);

fn free_lists() -> MutexGuard<'static, BTreeMap<usize, Vec<Vec<Line>>>> {
    // The map is valid after any panic: it only holds spare memory.
    FREE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Bytes of tensors alive now, at most so far, and held in all (alive and spare).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Alive now.
    pub in_use: usize,
    /// The most that was alive at once.
    pub peak: usize,
    /// Taken from the system.
    pub held: usize,
}

/// The pool's account, in bytes.
pub fn pool_stats() -> PoolStats {
    PoolStats { in_use: IN_USE.load(Relaxed), peak: PEAK.load(Relaxed), held: HELD.load(Relaxed) }
}

/// Gives spare memory back to the system.
pub fn release_spare() {
    let lists = std::mem::take(&mut *free_lists());
    let bytes: usize = lists.values().flatten().map(|v| v.len() * 64).sum();
    HELD.fetch_sub(bytes, Relaxed);
}

/// Rounds up in steps of an eighth of a power of two, so that near sizes share buffers.
fn class(lines: usize) -> usize {
    let step = (lines.max(1).next_power_of_two() / 16).max(1);
    lines.div_ceil(step) * step
}

/// A pooled run of f32, returned to the pool when dropped.
pub(crate) struct Buf {
    lines: Vec<Line>,
    len: usize,
}

impl Buf {
    /// `len` values of arbitrary (but initialised) content.
    pub fn stale(len: usize) -> Self {
        let lines = class(len.div_ceil(16));
        // A spare buffer up to a quarter larger will do: batches whose lengths vary would otherwise leave a
        // spare of every size. Not more, or a size that is asked for later finds its own buffer taken.
        let spare = |mut free: MutexGuard<'static, BTreeMap<usize, Vec<Vec<Line>>>>| {
            free.range_mut(lines..=lines + lines / 4).find_map(|(_, list)| list.pop())
        };
        let reused = spare(free_lists());
        let lines = reused.as_ref().map_or(lines, Vec::len);
        let now = IN_USE.fetch_add(lines * 64, Relaxed) + lines * 64;
        PEAK.fetch_max(now, Relaxed);
        let lines = reused.unwrap_or_else(|| {
            HELD.fetch_add(lines * 64, Relaxed);
            vec![Line([0.0; 16]); lines]
        });
        Self { lines, len }
    }

    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        let mut buf = Self::stale(len);
        buf.fill(0.0);
        buf
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        IN_USE.fetch_sub(lines.len() * 64, Relaxed);
        free_lists().entry(lines.len()).or_default().push(lines);
    }
}

impl std::ops::Deref for Buf {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl std::ops::DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_reused() {
        let first = Buf::stale(1000);
        let address = first.as_ptr() as usize;
        assert_eq!(address % 64, 0);
        assert_eq!(first.len(), 1000);
        drop(first);
        // Another length of the same class; other tests may run beside, so only the class is sure.
        assert_eq!(class(1000usize.div_ceil(16)), class(1005usize.div_ceil(16)));
        assert!(class(1_000_000) < 1_130_000);
        assert!(Buf::zeroed(77).iter().all(|&x| x == 0.0));
    }
}
