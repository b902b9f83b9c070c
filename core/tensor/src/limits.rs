//! What this processor can do at best, measured: the scale on which a kernel's speed is read.

use std::time::Instant;

use rayon::prelude::*;

use crate::backend::cpu::peak;

/// Limits of all threads together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// f32 operations a second in a loop of multiply-adds that touches registers only.
    pub flops_per_second: f64,
    /// Bytes a second that a copy between arrays larger than the caches reads and writes together.
    pub copy_bytes_per_second: f64,
    /// Threads in the pool.
    pub threads: usize,
}

/// Bytes of an array that no cache holds.
const COPY: usize = 256 << 20;

/// Measures [`Limits`] on the thread pool, in about half a second.
pub fn limits() -> Limits {
    let threads = rayon::current_num_threads();
    let every = || (0..threads).into_par_iter().with_max_len(1);
    let best = |seconds: &dyn Fn() -> f64| (0..5).map(|_| seconds()).fold(f64::INFINITY, f64::min);
    let rounds = 2_000_000;
    let multiply_add = best(&|| {
        let began = Instant::now();
        every().for_each(|i| {
            std::hint::black_box(peak::multiply_add(rounds, 1.0 + i as f32));
        });
        began.elapsed().as_secs_f64()
    });
    let (from, mut to) = (vec![1.0f32; COPY / 4], vec![0.0f32; COPY / 4]);
    let piece = (COPY / 4).div_ceil(threads.max(1));
    let mut seconds = f64::INFINITY;
    for _ in 0..3 {
        let began = Instant::now();
        to.par_chunks_mut(piece)
            .zip(from.par_chunks(piece))
            .for_each(|(to, from)| to.copy_from_slice(from));
        seconds = seconds.min(began.elapsed().as_secs_f64());
    }
    std::hint::black_box(&to);
    Limits {
        flops_per_second: peak::flops(rounds) * threads as f64 / multiply_add,
        copy_bytes_per_second: 2.0 * COPY as f64 / seconds,
        threads,
    }
}
