//! A few quantised rows with a panel of int8 weights, by the instructions that the processor has.

use std::sync::OnceLock;

use super::{
    BLOCK, COLUMNS, FOURS, STRIDE,
    rows::{BEGIN, SCALE, WORDS},
};
use crate::backend::cpu::{
    parallel::DisjointRows,
    simd::{Level, level},
};

/// Which instructions are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// 64 multiplications of bytes at once.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// 32.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// 32, in three steps.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What the compiler makes of it.
    Plain,
}

impl Kernel {
    /// All that this processor has, the fastest first.
    pub fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Kernel>> = OnceLock::new();
        ALL.get_or_init(|| {
            let mut all = Vec::new();
            #[cfg(target_arch = "x86_64")]
            {
                if level() == Level::Avx512 && is_x86_feature_detected!("avx512vnni") {
                    all.push(Self::Avx512Vnni);
                }
                let avx2 = level() != Level::Plain
                    && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma");
                if avx2 && is_x86_feature_detected!("avxvnni") {
                    all.push(Self::AvxVnni);
                }
                if avx2 {
                    all.push(Self::Avx2);
                }
            }
            all.push(Self::Plain);
            all
        })
    }

    /// The fastest.
    pub fn best() -> Self {
        Self::all()[0]
    }

    /// Rows that it takes at once.
    pub fn most_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => 6,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni | Self::Avx2 => 2,
            Self::Plain => 4,
        }
    }

    /// Writes what the job says.
    ///
    /// # Safety
    /// The kernel must be one of [`all`](Self::all); for the rest see [`Job`].
    #[allow(unsafe_code)]
    pub unsafe fn run(self, job: Job) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512Vnni => avx512_vnni::rows(job),
                #[cfg(target_arch = "x86_64")]
                Self::AvxVnni => avx_vnni::rows(job),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2::rows(job),
                Self::Plain => plain(job),
            }
        }
    }
}

/// Rows times a panel. Whoever runs it promises that rows and panel have that many blocks, and that the
/// output's places are not touched by another thread meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Job {
    /// The first row's blocks of [`WORDS`].
    pub x: *const i32,
    /// Words from a row to the next.
    pub row: usize,
    /// At most [`Kernel::most_rows`].
    pub rows: usize,
    /// Blocks of [`STRIDE`] bytes.
    pub panel: *const u8,
    pub blocks: usize,
    pub out: DisjointRows,
    /// The output's row and column of the first sum.
    pub at: [usize; 2],
    /// Columns that are the output's.
    pub width: usize,
    /// Cache lines to fetch for later: as many bytes for each block, or none.
    pub ahead: *const u8,
    pub ahead_step: usize,
}

/// The kernel for one set of instructions.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    ($name:ident: $features:literal, $registers:ident, [$($rows:literal)*] $most:literal; $begin:item $dot:item) => {
        #[allow(unsafe_code, clippy::needless_range_loop)]
        mod $name {
            use std::arch::x86_64::*;

            use super::{BEGIN, BLOCK, COLUMNS, FOURS, Job, SCALE, STRIDE, WORDS};
            use crate::backend::cpu::simd::$registers::*;

            const VECTORS: usize = COLUMNS / LANES;

            /// Where a block's sum begins.
            #[inline]
            #[target_feature(enable = $features)]
            $begin

            /// Adds four products of bytes to each lane.
            #[inline]
            #[target_feature(enable = $features)]
            $dot

            /// `R` rows.
            ///
            /// # Safety
            /// As [`rows`].
            #[target_feature(enable = $features)]
            unsafe fn block<const R: usize>(job: Job) {
                // Loops over indices: a closure would not be compiled into its place, as it lacks the features.
                let mut x = [job.x; R];
                for r in 1..R {
                    // SAFETY: rows, by the caller's promise.
                    x[r] = unsafe { x[r - 1].add(job.row) };
                }
                let mut panel = job.panel;
                let mut ahead = job.ahead;
                let lines = job.ahead_step.div_ceil(64).div_ceil(FOURS);
                let mut sums: [[Floats; VECTORS]; R] = [[zero(); VECTORS]; R];
                for _ in 0..job.blocks {
                    let mut parts: [[Ints; VECTORS]; R] = [[begin(0); VECTORS]; R];
                    for r in 0..R {
                        // SAFETY: a row's block has WORDS words.
                        parts[r] = [begin(unsafe { *x[r].add(BEGIN) }); VECTORS];
                    }
                    for i in 0..FOURS {
                        for line in 0..lines {
                            // Fetching never faults, wherever it points.
                            let at = ahead.wrapping_add(i * job.ahead_step / FOURS + line * 64);
                            _mm_prefetch::<_MM_HINT_T1>(at.cast());
                        }
                        let mut w = [begin(0); VECTORS];
                        for (v, w) in w.iter_mut().enumerate() {
                            // SAFETY: a panel's block has FOURS times COLUMNS fours.
                            *w = unsafe { load_ints(panel.add(4 * (i * COLUMNS + v * LANES)).cast()) };
                        }
                        for r in 0..R {
                            // SAFETY: as above.
                            let x = all_ints(unsafe { *x[r].add(i) });
                            for v in 0..VECTORS {
                                parts[r][v] = dot(parts[r][v], w[v], x);
                            }
                        }
                    }
                    let mut scales = [zero(); VECTORS];
                    for (v, scale) in scales.iter_mut().enumerate() {
                        let at = BLOCK * COLUMNS + 4 * v * LANES;
                        // SAFETY: a panel's block ends with COLUMNS scales.
                        *scale = unsafe { load(panel.add(at).cast()) };
                    }
                    for r in 0..R {
                        // SAFETY: as above; the next block, or the end of the row.
                        let scale = unsafe {
                            let scale = all(f32::from_bits(*x[r].add(SCALE) as u32));
                            x[r] = x[r].add(WORDS);
                            scale
                        };
                        for v in 0..VECTORS {
                            let scale = mul(scale, scales[v]);
                            sums[r][v] = fma(to_floats(parts[r][v]), scale, sums[r][v]);
                        }
                    }
                    // SAFETY: the next block, or the end of the panel.
                    panel = unsafe { panel.add(STRIDE) };
                    ahead = ahead.wrapping_add(job.ahead_step);
                }
                for (r, sums) in sums.into_iter().enumerate() {
                    let mut some = [0.0f32; COLUMNS];
                    // SAFETY: the output's places, by the caller's promise; else those of `some`.
                    unsafe {
                        let out = job.out.at(job.at[0] + r, job.at[1]);
                        let whole = job.width == COLUMNS;
                        let to = if whole { out } else { some.as_mut_ptr() };
                        for (v, sum) in sums.into_iter().enumerate() {
                            put(to.add(v * LANES), sum);
                        }
                        if !whole {
                            std::ptr::copy_nonoverlapping(some.as_ptr(), out, job.width);
                        }
                    }
                }
            }

            /// As many rows as there are, up to the most.
            ///
            /// # Safety
            /// The processor must have the features; for the rest see [`Job`].
            #[target_feature(enable = $features)]
            pub(super) unsafe fn rows(job: Job) {
                // SAFETY: the caller's promise.
                unsafe {
                    match job.rows {
                        $($rows => block::<$rows>(job),)*
                        _ => block::<$most>(job),
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel! {
    avx512_vnni: "avx512f,avx512vnni", bits512, [1 2 3 4 5] 6;
    fn begin(sum: i32) -> Ints { all_ints(sum) }
    fn dot(sum: Ints, w: Ints, x: Ints) -> Ints { _mm512_dpbusd_epi32(sum, w, x) }
}

#[cfg(target_arch = "x86_64")]
kernel! {
    avx_vnni: "avx2,fma,avxvnni", bits256, [1] 2;
    fn begin(sum: i32) -> Ints { all_ints(sum) }
    fn dot(sum: Ints, w: Ints, x: Ints) -> Ints { _mm256_dpbusd_avx_epi32(sum, w, x) }
}

// Without VNNI two products are added up in 16 bits, where those of unsigned weights would not fit: so the
// weights' signs go to the rows, and magnitudes up to 127 remain.
#[cfg(target_arch = "x86_64")]
kernel! {
    avx2: "avx2,fma", bits256, [1] 2;
    fn begin(_: i32) -> Ints { _mm256_setzero_si256() }
    fn dot(sum: Ints, w: Ints, x: Ints) -> Ints {
        let w = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

/// Any processor.
///
/// # Safety
/// See [`Job`].
#[allow(unsafe_code)]
unsafe fn plain(job: Job) {
    for r in 0..job.rows {
        // SAFETY: rows and panel have their blocks, by the caller's promise.
        let (x, panel) = unsafe {
            let x = job.x.add(r * job.row);
            (
                std::slice::from_raw_parts(x, job.blocks * WORDS),
                std::slice::from_raw_parts(job.panel, job.blocks * STRIDE),
            )
        };
        let mut sums = [0.0f32; COLUMNS];
        for (x, panel) in x.chunks_exact(WORDS).zip(panel.chunks_exact(STRIDE)) {
            let (weights, scales) = panel.split_at(BLOCK * COLUMNS);
            let mut parts = [x[BEGIN]; COLUMNS];
            for (x, w) in x.iter().zip(weights.chunks_exact(4 * COLUMNS)) {
                let x = x.to_ne_bytes().map(|x| i32::from(x as i8));
                for (part, w) in parts.iter_mut().zip(w.chunks_exact(4)) {
                    for (x, &w) in x.iter().zip(w) {
                        *part += x * i32::from(w);
                    }
                }
            }
            let scale = f32::from_bits(x[SCALE] as u32);
            for ((sum, part), scales) in sums.iter_mut().zip(parts).zip(scales.chunks_exact(4)) {
                let own = f32::from_ne_bytes([scales[0], scales[1], scales[2], scales[3]]);
                *sum += part as f32 * (scale * own);
            }
        }
        // SAFETY: the output's places, by the caller's promise.
        unsafe {
            let out = job.out.at(job.at[0] + r, job.at[1]);
            std::ptr::copy_nonoverlapping(sums.as_ptr(), out, job.width);
        }
    }
}
