//! Splits an op over the pool's threads and keeps them awake between two ops.
//!
//! Rayon's workers sleep about 30 µs after their last piece. Waking one takes longer than most ops of text
//! generation, which needs about a hundred for one token. So a worker that was called stays in a job of ours,
//! [`keep`]: it looks for pieces here and for rayon's jobs in turn, and leaves after [`IDLE`] without work. Each
//! thread takes pieces in order from its own range, because the kernels prefetch the next piece, and then helps the
//! others.
//!
//! Beside other busy programs this is slow: a thread that never sleeps has no time slice left when an op needs it.
//! If no other thread joined an op longer than [`ALONE`], later ops go through rayon for [`REST`].

use std::{
    any::Any,
    cell::{Cell, UnsafeCell},
    hint,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rayon::prelude::*;

/// A worker leaves after this time without a piece, and may then sleep.
const IDLE: Duration = Duration::from_micros(200);

/// If no worker joined an op this long, the workers have no processor.
const ALONE: Duration = Duration::from_micros(50);

/// All ops then go through rayon for this time.
const REST: Duration = Duration::from_millis(100);

/// Turns of waiting for the last pieces before the thread yields its processor.
const TURNS: usize = 1 << 10;

/// Most ranges of pieces; more threads share them.
const STRETCHES: usize = 64;

/// The pieces of the op that is being done.
#[derive(Clone, Copy)]
struct Work {
    /// A closure, `Fn(usize) + Sync`, and what calls it.
    closure: *const (),
    call: unsafe fn(*const (), usize),
    pieces: usize,
    stretches: usize,
}

/// The next piece of a stretch, on a cache line of its own.
#[repr(align(128))]
struct Next(AtomicUsize);

struct Team {
    /// Whether there is an op; the others' go to rayon.
    taken: AtomicBool,
    /// Odd while the op may be joined; each op has its own.
    number: AtomicUsize,
    /// Threads that look at the work, and stretches that have their thread.
    inside: AtomicUsize,
    joined: AtomicUsize,
    work: UnsafeCell<Option<Work>>,
    next: [Next; STRETCHES],
    /// Workers in [`keep`], or called there.
    keepers: AtomicUsize,
    /// Until when ops go to rayon, in microseconds after [`START`]; 0: they don't.
    rest: AtomicU64,
    /// What a piece panicked with on another thread.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `work` is written by the thread that has `taken` alone, while `number` is even and no thread is inside, and
// read by those inside while it is odd.
#[allow(unsafe_code)]
unsafe impl Sync for Team {}

static TEAM: Team = Team {
    taken: AtomicBool::new(false),
    number: AtomicUsize::new(0),
    inside: AtomicUsize::new(0),
    joined: AtomicUsize::new(0),
    work: UnsafeCell::new(None),
    next: [const { Next(AtomicUsize::new(0)) }; STRETCHES],
    keepers: AtomicUsize::new(0),
    rest: AtomicU64::new(0),
    panic: Mutex::new(None),
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// Whether this thread is in an op or in [`keep`].
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is the one that ops are called on: the first of the pool (see [`set_threads`](crate::set_threads)).
fn leads() -> bool {
    rayon::current_thread_index() == Some(0)
}

/// Calls `f(i)` for each i below `pieces`, on all threads.
pub(crate) fn run<F: Fn(usize) + Sync>(pieces: usize, f: F) {
    let threads = rayon::current_num_threads();
    if pieces < 2 || threads < 2 {
        return (0..pieces).for_each(f);
    }
    // Within a piece, within another's job, beside other programs, or beside another pool's op.
    if !leads() || BUSY.get() || TEAM.rests() || TEAM.taken.swap(true, Ordering::Acquire) {
        return (0..pieces).into_par_iter().with_max_len(1).for_each(&f);
    }
    TEAM.lead(pieces, threads, &f);
}

impl Team {
    fn lead<F: Fn(usize) + Sync>(&self, pieces: usize, threads: usize, f: &F) {
        /// # Safety
        /// `closure` must be an `F`.
        #[allow(unsafe_code)]
        unsafe fn call<F: Fn(usize)>(closure: *const (), piece: usize) {
            // SAFETY: the caller's promise.
            unsafe { (*closure.cast::<F>())(piece) }
        }
        let stretches = threads.min(STRETCHES).min(pieces);
        let work =
            Work { closure: std::ptr::from_ref(f).cast(), call: call::<F>, pieces, stretches };
        for (s, next) in self.next[..stretches].iter().enumerate() {
            next.0.store(work.start(s), Ordering::Relaxed);
        }
        self.joined.store(1, Ordering::Relaxed);
        // SAFETY: `taken` is ours, and whoever was inside has left.
        #[allow(unsafe_code)]
        unsafe {
            *self.work.get() = Some(work);
        }
        // From here on others may be at work: whatever happens, they must have left when this returns.
        let open = Open(self);
        self.number.fetch_add(1, Ordering::SeqCst);
        let awake = !self.call_keepers(threads - 1);
        BUSY.set(true);
        let since = Instant::now();
        self.pieces(work, 0);
        if awake && self.joined.load(Ordering::Relaxed) == 1 && since.elapsed() > ALONE {
            let until = (START.elapsed() + REST).as_micros();
            self.rest.store(u64::try_from(until).unwrap_or(0), Ordering::Relaxed);
        }
        drop(open);
    }

    /// Whether ops go to rayon for now.
    fn rests(&self) -> bool {
        let until = self.rest.load(Ordering::Relaxed);
        if until == 0 {
            return false;
        }
        let rests = START.elapsed().as_micros() < u128::from(until);
        if !rests {
            self.rest.store(0, Ordering::Relaxed);
        }
        rests
    }

    /// Does pieces until there is none left, from this stretch on.
    fn pieces(&self, work: Work, first: usize) {
        for s in (first..work.stretches).chain(0..first) {
            let end = work.start(s + 1);
            loop {
                let piece = self.next[s].0.fetch_add(1, Ordering::Relaxed);
                if piece >= end {
                    break;
                }
                // SAFETY: the closure lives until all have left.
                #[allow(unsafe_code)]
                unsafe {
                    (work.call)(work.closure, piece);
                }
            }
        }
    }

    /// Takes part in the op that there is, if any.
    fn join(&self) -> bool {
        let number = self.number.load(Ordering::Acquire);
        if number.is_multiple_of(2) {
            return false;
        }
        // Either the leader sees us, and waits, or we see that it has closed the op.
        self.inside.fetch_add(1, Ordering::SeqCst);
        let open = self.number.load(Ordering::SeqCst) == number;
        // SAFETY: it is not written while a thread is inside.
        #[allow(unsafe_code)]
        let work = if open { unsafe { *self.work.get() } } else { None };
        if let Some(work) = work {
            let first = self.joined.fetch_add(1, Ordering::Relaxed) % work.stretches;
            if let Err(e) = catch_unwind(AssertUnwindSafe(|| self.pieces(work, first))) {
                self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
            }
        }
        self.inside.fetch_sub(1, Ordering::Release);
        open
    }

    /// Calls workers until there are `wanted` keepers; whether any were missing.
    fn call_keepers(&self, wanted: usize) -> bool {
        let mut called = false;
        while self.keepers.load(Ordering::Relaxed) < wanted {
            self.keepers.fetch_add(1, Ordering::Relaxed);
            rayon::spawn(keep);
            called = true;
        }
        called
    }
}

impl Work {
    fn start(&self, stretch: usize) -> usize {
        stretch * self.pieces / self.stretches
    }
}

/// An op that may be joined; closed when it is dropped.
struct Open<'a>(&'a Team);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let team = self.0;
        team.number.fetch_add(1, Ordering::SeqCst);
        let mut turns = 0;
        while team.inside.load(Ordering::SeqCst) > 0 {
            turns += 1;
            match turns < TURNS {
                true => hint::spin_loop(),
                false => thread::yield_now(),
            }
        }
        let panic = team.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        BUSY.set(false);
        team.taken.store(false, Ordering::Release);
        match panic {
            Some(panic) if !thread::panicking() => resume_unwind(panic),
            _ => {}
        }
    }
}

/// What a worker does between ops.
fn keep() {
    // Rayon may give this to a thread that waits for it in the middle of something.
    if !leads() && !BUSY.replace(true) {
        let mut since = Instant::now();
        let mut turns = 0usize;
        loop {
            turns += 1;
            // Rayon is asked seldom: two threads of one core share what the asking takes.
            let rayons =
                || turns.is_multiple_of(8) && rayon::yield_now() == Some(rayon::Yield::Executed);
            if TEAM.join() || rayons() {
                since = Instant::now();
            } else if turns.is_multiple_of(64) && since.elapsed() > IDLE {
                break;
            }
            for _ in 0..4 {
                hint::spin_loop();
            }
        }
        BUSY.set(false);
    }
    TEAM.keepers.fetch_sub(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls f as the first thread of a new pool.
    fn first_of(threads: usize, f: impl FnOnce() + Send) {
        thread::scope(|scope| {
            scope.spawn(|| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                pool.use_current_thread().build().unwrap().install(f);
            });
        });
    }

    /// How often each piece was done.
    fn counts(pieces: usize) -> Vec<usize> {
        let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
        run(pieces, |i| {
            counts[i].fetch_add(1, Ordering::Relaxed);
        });
        counts.into_iter().map(AtomicUsize::into_inner).collect()
    }

    #[test]
    fn each_piece_is_done_once() {
        for threads in [1, 2, 3, 5] {
            first_of(threads, || {
                for turn in 0..200 {
                    for pieces in [0, 1, 2, 3, 7, 64, 65] {
                        assert_eq!(counts(pieces), vec![1; pieces], "{threads} threads, {turn}");
                    }
                }
            });
        }
    }

    #[test]
    fn ops_beside_and_within_each_other() {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    first_of(3, || {
                        for _ in 0..100 {
                            run(4, |_| assert_eq!(counts(5), [1; 5]));
                            let both = rayon::join(|| counts(5), || counts(6));
                            assert_eq!(both, (vec![1; 5], vec![1; 6]));
                        }
                    });
                });
            }
        });
    }

    /// Whatever panics, on whichever threads, the caller gets it and later ops are whole.
    #[test]
    fn the_team_works_after_panics_on_all_threads() {
        first_of(3, || {
            for turn in 0..50 {
                let all = catch_unwind(AssertUnwindSafe(|| run(16, |i| panic!("piece {i}"))));
                assert!(all.is_err());
                let within = catch_unwind(AssertUnwindSafe(|| {
                    run(3, |_| run(4, |i| assert_ne!(i, turn % 4)));
                }));
                assert!(within.is_err());
                assert!(!BUSY.get());
                assert_eq!(counts(9), [1; 9]);
            }
        });
    }

    #[test]
    fn a_panic_comes_to_the_caller() {
        first_of(2, || {
            for bad in 0..8 {
                for _ in 0..20 {
                    let done = catch_unwind(AssertUnwindSafe(|| {
                        run(8, |i| assert_ne!(i, bad, "piece {bad}"));
                    }));
                    assert!(done.is_err(), "{bad}");
                    assert_eq!(counts(6), [1; 6]);
                }
            }
        });
    }
}
