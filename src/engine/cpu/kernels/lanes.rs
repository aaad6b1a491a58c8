//! Sixteen numbers at once, as wide registers hold them: the one place where instruction sets differ.
//!
//! A kernel is written once over [`Lanes`] and compiled once per instruction set.

use crate::engine::plan::BLOCK;

/// One block of channels in registers.
///
/// # Safety
/// The methods may be called only where the processor has the implementor's instruction set, and with pointers to
/// [`BLOCK`] readable (or writable) numbers.
pub(super) trait Lanes: Copy {
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn subtract(self, other: Self) -> Self;
    unsafe fn multiply(self, other: Self) -> Self;
    /// `self + a · b`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// `self − a · b`.
    unsafe fn subtract_product(self, a: Self, b: Self) -> Self;
    /// The larger of each pair; where `self` is not a number, that stays, so that it reaches the network's output.
    unsafe fn max(self, other: Self) -> Self;
    /// Asks for the cache line at `address`, which need not be there, to be in the first-level cache soon.
    unsafe fn prefetch(address: *const f32);
    /// The same for the second-level cache.
    unsafe fn prefetch_far(address: *const f32);
    /// The same for a line that will be written whole.
    unsafe fn prefetch_to_write(address: *const f32);
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// One 512-bit register.
    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    // SAFETY (of every method): the trait's contract gives AVX-512F and valid pointers; no alignment is needed.
    #[allow(unsafe_op_in_unsafe_fn, reason = "each body is one intrinsic under the trait's contract")]
    impl Lanes for Avx512 {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Avx512(_mm512_set1_ps(value))
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Avx512(_mm512_loadu_ps(from))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            _mm512_storeu_ps(to, self.0);
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Avx512(_mm512_add_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn subtract(self, other: Self) -> Self {
            Avx512(_mm512_sub_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            Avx512(_mm512_mul_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            Avx512(_mm512_fmadd_ps(a.0, b.0, self.0))
        }
        #[inline(always)]
        unsafe fn subtract_product(self, a: Self, b: Self) -> Self {
            Avx512(_mm512_fnmadd_ps(a.0, b.0, self.0))
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // The instruction gives its second operand where either is not a number.
            Avx512(_mm512_max_ps(other.0, self.0))
        }
        #[inline(always)]
        unsafe fn prefetch(address: *const f32) {
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        }
        #[inline(always)]
        unsafe fn prefetch_far(address: *const f32) {
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
        #[inline(always)]
        unsafe fn prefetch_to_write(address: *const f32) {
            prefetch_to_write(address);
        }
    }

    /// There is no intrinsic that gives this instruction on every target; where a processor lacks it, it does nothing.
    #[inline(always)]
    unsafe fn prefetch_to_write(address: *const f32) {
        // SAFETY: a hint: it neither reads nor writes, and never faults.
        unsafe { std::arch::asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags)) };
    }

    /// Two 256-bit registers.
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256, __m256);

    // SAFETY (of every method): the trait's contract gives AVX2 and FMA and valid pointers; no alignment is needed.
    #[allow(unsafe_op_in_unsafe_fn, reason = "each body is one intrinsic per half under the trait's contract")]
    impl Lanes for Avx2 {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Avx2(_mm256_set1_ps(value), _mm256_set1_ps(value))
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Avx2(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8)))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Avx2(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1))
        }
        #[inline(always)]
        unsafe fn subtract(self, other: Self) -> Self {
            Avx2(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1))
        }
        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            Avx2(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1))
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            Avx2(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1))
        }
        #[inline(always)]
        unsafe fn subtract_product(self, a: Self, b: Self) -> Self {
            Avx2(_mm256_fnmadd_ps(a.0, b.0, self.0), _mm256_fnmadd_ps(a.1, b.1, self.1))
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // As above.
            Avx2(_mm256_max_ps(other.0, self.0), _mm256_max_ps(other.1, self.1))
        }
        #[inline(always)]
        unsafe fn prefetch(address: *const f32) {
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        }
        #[inline(always)]
        unsafe fn prefetch_far(address: *const f32) {
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
        #[inline(always)]
        unsafe fn prefetch_to_write(address: *const f32) {
            prefetch_to_write(address);
        }
    }
}

/// What the compiler makes of sixteen numbers on any processor.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; BLOCK]);

impl Lanes for Portable {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Portable([value; BLOCK])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's contract: BLOCK readable numbers.
        Portable(unsafe { from.cast::<[f32; BLOCK]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's contract: BLOCK writable numbers.
        unsafe { to.cast::<[f32; BLOCK]>().write_unaligned(self.0) };
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    unsafe fn subtract(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // A fused product is one instruction on NEON and a library call on plain x86-64.
        let fused = cfg!(any(target_arch = "aarch64", target_feature = "fma"));
        Portable(std::array::from_fn(|i| if fused { a.0[i].mul_add(b.0[i], self.0[i]) } else { self.0[i] + a.0[i] * b.0[i] }))
    }
    #[inline(always)]
    unsafe fn subtract_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.add_product(Portable(a.0.map(|value| -value)), b) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| if other.0[i] > self.0[i] { other.0[i] } else { self.0[i] }))
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
    #[inline(always)]
    unsafe fn prefetch_far(_: *const f32) {}
    #[inline(always)]
    unsafe fn prefetch_to_write(_: *const f32) {}
}
