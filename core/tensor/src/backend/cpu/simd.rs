//! Run-time choice of instructions: a kernel is written once in plain Rust and compiled three times,
//! for AVX-512, for AVX2 and for any processor; the compiler vectorises each. `ATHANOR_SIMD` (`avx2` or
//! `plain`) holds our kernels to less than the processor has: the tests go through all levels with it. Sizes
//! of matrix products that the gemm crate serves keep that crate's own choice.

use std::sync::OnceLock;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Plain,
}

/// The instructions that our kernels use here, as a name for a table.
pub fn instructions() -> &'static str {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => "AVX2",
        Level::Plain => "portable code",
    }
}

pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            let most = std::env::var("ATHANOR_SIMD");
            let (wide, any) = match most.as_deref() {
                Ok("plain") => (false, false),
                Ok("avx2") => (false, true),
                _ => (true, true),
            };
            if wide
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
            {
                return Level::Avx512;
            }
            if any && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Level::Avx2;
            }
        }
        Level::Plain
    })
}

/// Instructions on registers of one width, by names that kernels for several widths share.
#[cfg(target_arch = "x86_64")]
macro_rules! registers {
    ($(#[$doc:meta])* $name:ident, $lanes:literal, $floats:ident, $ints:ident, {$($from:ident $to:ident,)*}) => {
        $(#[$doc])*
        pub(crate) mod $name {
            #[allow(unused_imports)]
            pub use std::arch::x86_64::{$floats as Floats, $ints as Ints, $($from as $to,)*};

            /// Numbers of a register.
            pub const LANES: usize = $lanes;
        }
    };
}

#[cfg(target_arch = "x86_64")]
registers!(
    /// AVX-512.
    bits512,
    16,
    __m512,
    __m512i,
    {
        _mm512_setzero_ps zero,
        _mm512_loadu_ps load,
        _mm512_storeu_ps put,
        _mm512_set1_ps all,
        _mm512_mul_ps mul,
        _mm512_fmadd_ps fma,
        _mm512_loadu_si512 load_ints,
        _mm512_set1_epi32 all_ints,
        _mm512_cvtepi32_ps to_floats,
    }
);

#[cfg(target_arch = "x86_64")]
registers!(
    /// AVX2 and FMA.
    bits256,
    8,
    __m256,
    __m256i,
    {
        _mm256_setzero_ps zero,
        _mm256_loadu_ps load,
        _mm256_storeu_ps put,
        _mm256_set1_ps all,
        _mm256_mul_ps mul,
        _mm256_fmadd_ps fma,
        _mm256_loadu_si256 load_ints,
        _mm256_set1_epi32 all_ints,
        _mm256_cvtepi32_ps to_floats,
    }
);

/// Defines functions compiled for every level and chosen at run time.
macro_rules! simd {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }
            match $crate::backend::cpu::simd::level() {
                // SAFETY: `level` found these instructions on this processor.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                $crate::backend::cpu::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                $crate::backend::cpu::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                $crate::backend::cpu::simd::Level::Plain => body($($arg),*),
            }
        }
    )*};
}
pub(crate) use simd;
