//! What the benchmarks share.

use std::hint::black_box;
use std::time::Instant;

/// GFLOP/s that one core reaches in fused multiply-adds of registers, two operations each, in the instruction set of a set
/// of kernels: the roof of every kernel without memory.
pub fn peak_gflops(kernels: &str) -> f64 {
    let run: fn(usize) -> f64 = match kernels {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: kernels are offered only where the processor has their instruction set.
        "avx512" => |rounds| unsafe { x86::avx512(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        "avx2" => |rounds| unsafe { x86::avx2(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: asked for only where the processor has it.
        "bf16" => |rounds| unsafe { x86::bf16(rounds) },
        _ => portable,
    };
    let attempt = |_| {
        let started = Instant::now();
        let operations = black_box(run(black_box(3_000_000)));
        operations / started.elapsed().as_secs_f64() / 1e9
    };
    (0..5).map(attempt).fold(0.0, f64::max)
}

/// The same for dot products in bfloat16, where the processor has them.
#[allow(dead_code, reason = "one benchmark shows it")]
pub fn bf16_peak_gflops() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512bf16") {
        return Some(peak_gflops("bf16"));
    }
    None
}

/// As many independent sums as hide the latency of a product.
const SUMS: usize = 24;

/// Multiplications and additions apart, as the portable kernels take them where no fused one is compiled in.
fn portable(rounds: usize) -> f64 {
    let mut sums = [[0.5f32; 4]; SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            for value in sum {
                *value = *value * 1.0001 + 0.25;
            }
        }
    }
    black_box(sums);
    (rounds * SUMS * 4 * 2) as f64
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::SUMS;

    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512(rounds: usize) -> f64 {
        let (factor, term) = (_mm512_set1_ps(1.0001), _mm512_set1_ps(0.25));
        let mut sums = [_mm512_set1_ps(0.5); SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, term);
            }
        }
        black_box(sums);
        (rounds * SUMS * 16 * 2) as f64
    }

    /// Dot products of pairs of bfloat16, added up in f32.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub unsafe fn bf16(rounds: usize) -> f64 {
        let (a, b) = (
            _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5), _mm512_set1_ps(0.5)),
            _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.25), _mm512_set1_ps(0.25)),
        );
        let mut sums = [_mm512_set1_ps(0.5); SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
        black_box(sums);
        (rounds * SUMS * 32 * 2) as f64
    }

    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2(rounds: usize) -> f64 {
        let (factor, term) = (_mm256_set1_ps(1.0001), _mm256_set1_ps(0.25));
        let mut sums = [_mm256_set1_ps(0.5); SUMS / 2];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, term);
            }
        }
        black_box(sums);
        (rounds * SUMS / 2 * 8 * 2) as f64
    }
}
