//! Pooled, 64-byte-aligned memory: a training step asks for the same sizes again and
//! again, and the system's allocator would map and clear fresh pages each time.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    marker::PhantomData,
    ops::RangeInclusive,
    sync::{Mutex, MutexGuard},
};

use bytemuck::{Pod, Zeroable};

use crate::region::{FROM, Piece};

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

/// Buffers by size, and their account; sizes are in lines.
struct Pool<T> {
    /// Buffers that are not in use.
    spare: BTreeMap<usize, Vec<T>>,
    in_use: usize,
    peak: usize,
    held: usize,
}

impl<T> Pool<T> {
    const fn new() -> Self {
        Self { spare: BTreeMap::new(), in_use: 0, peak: 0, held: 0 }
    }

    /// The size of a buffer of at least `lines`, and the buffer if there is a spare one.
    fn take(&mut self, lines: usize) -> (usize, Option<T>) {
        // Take a spare buffer up to a quarter larger: batches of varying lengths would otherwise leave a
        // spare of every size. Not more, or a later request finds the buffer of its size taken.
        let mut found = self.spare(lines..=lines + lines / 4);
        // If too much is held in spares that do not fit, take one up to twice as large; without one, free spares. A
        // small tensor that lives long must not keep a large buffer: biases' gradients held 150 MB.
        let most = most_held(self.peak.max(self.in_use + lines));
        if found.is_none() && self.held + lines > most {
            found = self.spare(lines..=2 * lines);
            while found.is_none() && self.held + lines > most {
                let Some((size, buffer)) = self.spare(0..=usize::MAX) else { break };
                drop(buffer);
                self.held -= size;
            }
        }
        let (size, buffer) = match found {
            Some((size, buffer)) => (size, Some(buffer)),
            None => {
                self.held += lines;
                (lines, None)
            }
        };
        self.in_use += size;
        self.peak = self.peak.max(self.in_use);
        (size, buffer)
    }

    /// The smallest spare buffer of these sizes.
    fn spare(&mut self, sizes: RangeInclusive<usize>) -> Option<(usize, T)> {
        let size = *self.spare.range(sizes).next()?.0;
        let list = self.spare.get_mut(&size)?;
        let buffer = list.pop()?;
        if list.is_empty() {
            self.spare.remove(&size);
        }
        Some((size, buffer))
    }

    fn give(&mut self, size: usize, buffer: T) {
        self.in_use -= size;
        self.spare.entry(size).or_default().push(buffer);
    }

    fn stats(&self) -> PoolStats {
        let [in_use, peak, held] = [self.in_use, self.peak, self.held].map(|lines| lines * LINE);
        PoolStats { in_use, peak, held }
    }
}

/// Bytes of a line.
const LINE: usize = size_of::<Line>();

static POOL: Mutex<Pool<Block>> = Mutex::new(Pool::new());

fn pool() -> MutexGuard<'static, Pool<Block>> {
    // The pool is valid after any panic: it only holds spare memory.
    POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

thread_local! {
    /// What this thread plans: the same account without memory.
    static PLANNED: RefCell<Plan> = const { RefCell::new(Plan { pool: Pool::new(), present: 0 }) };
}

struct Plan {
    pool: Pool<()>,
    /// What was in use when it began.
    present: usize,
}

/// Bytes of tensors: in use now, the most so far, and held from the system (in use and spare).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Alive now.
    pub in_use: usize,
    /// The most that was alive at once.
    pub peak: usize,
    /// Taken from the system.
    pub held: usize,
}

/// What the pool holds at most, where `peak` was in use at once.
pub fn most_held(peak: usize) -> usize {
    peak / 8 * 9
}

/// The pool's account, in bytes.
pub fn pool_stats() -> PoolStats {
    pool().stats()
}

/// Gives spare memory back to the system, that of the system's allocator as well.
pub fn release_spare() {
    {
        let mut pool = pool();
        let spare = std::mem::take(&mut pool.spare);
        pool.held -= spare.iter().map(|(size, list)| size * list.len()).sum::<usize>();
    }
    // Otherwise memory freed below the heap's end stays with the process: 50 MB after a model of 30 million
    // parameters was made.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer and touches nothing but what is free.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Makes the system's allocator return large free memory at once; call it before anything else. By default it
/// raises its threshold to up to 64 MiB when the first large buffer is freed: 30 MB of a product's panels stayed with
/// the process.
pub fn bound_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for option in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: it takes no pointer. Where it fails, the allocator stays as it was.
        #[allow(unsafe_code)]
        unsafe {
            libc::mallopt(option, KEPT_FREE);
        }
    }
}

/// Bytes that the heap may keep free at its end, and from which a buffer is mapped by itself.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_FREE: i32 = 12 << 20;

/// Runs `work`, which makes tensors on [`Device::Plan`](crate::Device::Plan) on this thread. Returns its result and
/// the bytes that the pool would hold for it beside what is in use now, starting without spare buffers.
pub fn plan<R>(work: impl FnOnce() -> R) -> (R, PoolStats) {
    let (in_use, peak) = {
        let real = pool();
        (real.in_use, real.peak)
    };
    PLANNED.with_borrow_mut(|plan| {
        plan.present = in_use;
        plan.pool = Pool { spare: BTreeMap::new(), in_use, peak, held: in_use };
    });
    let result = work();
    (result, planned_stats())
}

/// The account of this thread's plan so far, in bytes.
pub fn planned_stats() -> PoolStats {
    PLANNED.with_borrow(|plan| {
        let PoolStats { in_use, peak, held } = plan.pool.stats();
        let beyond = |bytes: usize| bytes.saturating_sub(plan.present * LINE);
        PoolStats { in_use: beyond(in_use), peak: beyond(peak), held: beyond(held) }
    })
}

/// A planned buffer: its size in lines if it is counted.
pub(crate) struct Planned {
    lines: Option<usize>,
}

impl Planned {
    /// Counted like a buffer of this many bytes.
    pub fn counted(bytes: usize) -> Self {
        let (lines, _) =
            PLANNED.with_borrow_mut(|plan| plan.pool.take(class(bytes.div_ceil(LINE))));
        Self { lines: Some(lines) }
    }

    /// For memory that exists already: not counted.
    pub fn present() -> Self {
        Self { lines: None }
    }
}

impl Drop for Planned {
    fn drop(&mut self) {
        let Some(lines) = self.lines else { return };
        // A thread that ends has no account any more; nor has a buffer of an earlier plan.
        let _ = PLANNED.try_with(|plan| {
            if let Ok(mut plan) = plan.try_borrow_mut()
                && plan.pool.in_use >= lines
            {
                plan.pool.give(lines, ());
            }
        });
    }
}

/// Rounds up in steps of an eighth of a power of two, so that near sizes share buffers.
fn class(lines: usize) -> usize {
    let step = (lines.max(1).next_power_of_two() / 16).max(1);
    lines.div_ceil(step) * step
}

/// Memory of a buffer.
enum Block {
    Small(Vec<Line>),
    Large(Piece),
}

impl Block {
    fn new(lines: usize) -> Self {
        match Some(lines * LINE).filter(|&bytes| bytes >= FROM).and_then(Piece::new) {
            Some(piece) => Self::Large(piece),
            None => Self::Small(vec![Line([0.0; 16]); lines]),
        }
    }

    fn lines(&self) -> usize {
        match self {
            Self::Small(lines) => lines.len(),
            Self::Large(piece) => piece.bytes().len() / LINE,
        }
    }
}

/// Pooled memory for `len` elements, returned to the pool when dropped.
pub(crate) struct Buf<T: Pod = f32> {
    block: Block,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Buf<T> {
    /// `len` elements of arbitrary (but initialised) content.
    pub fn uninit(len: usize) -> Self {
        let (size, spare) = pool().take(class((len * size_of::<T>()).div_ceil(LINE)));
        let block = spare.unwrap_or_else(|| Block::new(size));
        Self { block, len, element: PhantomData }
    }
}

impl<T: Pod> Drop for Buf<T> {
    fn drop(&mut self) {
        let block = std::mem::replace(&mut self.block, Block::Small(Vec::new()));
        pool().give(block.lines(), block);
    }
}

impl<T: Pod> std::ops::Deref for Buf<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        let elements: &[T] = match &self.block {
            Block::Small(lines) => bytemuck::cast_slice(lines),
            Block::Large(piece) => bytemuck::cast_slice(piece.bytes()),
        };
        &elements[..self.len]
    }
}

impl<T: Pod> std::ops::DerefMut for Buf<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let elements: &mut [T] = match &mut self.block {
            Block::Small(lines) => bytemuck::cast_slice_mut(lines),
            Block::Large(piece) => bytemuck::cast_slice_mut(piece.bytes_mut()),
        };
        &mut elements[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_counts_what_is_alive_at_once_and_what_is_held() {
        let bytes = |values: usize| class(values.div_ceil(16)) * LINE;
        let ((), stats) = plan(|| {
            let first = Planned::counted(4000);
            drop(Planned::counted(2000));
            // Takes the spare one.
            let second = Planned::counted(2000);
            drop((first, second, Planned::present()));
            let _third = Planned::counted(400);
        });
        assert!(stats.peak >= bytes(1000) + bytes(500));
        // The third may have made a spare one go: what the process holds beside it decides.
        assert!(stats.held >= bytes(1000) + bytes(100));
        assert!(stats.held <= bytes(1000) + bytes(500) + bytes(100));
        assert_eq!(stats.in_use, 0);
        assert_eq!(plan(|| ()).1.held, 0);
    }

    #[test]
    fn a_small_tensor_does_not_keep_a_large_buffer() {
        let mut pool = Pool::new();
        let (large, _) = pool.take(1000);
        pool.give(large, ());
        // Within what may be held, beside the spare one.
        assert_eq!(pool.take(10), (10, None));
        assert_eq!(pool.held, 1010);
        // Beyond it: the spare one is too large for this, and goes.
        assert_eq!(pool.take(200), (200, None));
        assert_eq!((pool.in_use, pool.held), (210, 210));
        // Twice the size will do rather than more memory.
        let (size, _) = pool.take(1000);
        pool.give(size, ());
        assert_eq!(pool.take(600), (1000, Some(())));
        assert_eq!(pool.held, 1210);
    }

    #[test]
    fn buffers_are_aligned_and_reused() {
        let first = Buf::<f32>::uninit(1000);
        let address = first.as_ptr() as usize;
        assert_eq!(address % 64, 0);
        assert_eq!(first.len(), 1000);
        drop(first);
        // Another length of the same class; other tests may run beside, so only the class is sure.
        assert_eq!(class(1000usize.div_ceil(16)), class(1005usize.div_ceil(16)));
        assert!(class(1_000_000) < 1_130_000);
        // Sizes are in bytes: twice as many elements of half the width.
        let half = Buf::<u16>::uninit(2000);
        assert_eq!(half.len(), 2000);
        assert!((63..=126).contains(&half.block.lines()));
    }
}
