// Half precision as bits: two in a register. Rounded to nearest even. What is too large for a half, 65520 and more, becomes
// "not a number" and not infinite: an infinity can vanish in a later ReLU, but a NaN reaches every sum behind it.

#pragma once

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

namespace spinect {

/// On the host: the bits of the half nearest to a float.
inline uint16_t half_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude >= 0x477ff000) return 0x7fff; // 65520 and more, infinity, NaN
    int shift = 13;
    uint32_t mantissa = magnitude - (112u << 23); // exponent bias 127 to 15
    if (magnitude < 0x38800000) {                 // below 2^-14: subnormal, in units of 2^-24
        if (magnitude < 0x33000000) return uint16_t(sign);
        shift = 126 - int(magnitude >> 23);
        mantissa = (magnitude & 0x7fffff) | 0x800000;
    }
    uint32_t rest = mantissa & ((1u << shift) - 1), tie = 1u << (shift - 1);
    mantissa >>= shift;
    return uint16_t(sign | (mantissa + (rest > tie || (rest == tie && (mantissa & 1)))));
}

/// On the host: the float that a half is.
inline float float_of(uint16_t half) {
    uint32_t sign = uint32_t(half & 0x8000) << 16, magnitude = half & 0x7fff, bits;
    if (magnitude >= 0x7c00) {
        bits = sign | 0x7f800000 | (magnitude & 0x3ff) << 13;
    } else if (magnitude >= 0x400) {
        bits = sign | ((magnitude << 13) + (112u << 23));
    } else {
        float small = float(magnitude) * 0x1p-24f;
        memcpy(&bits, &small, sizeof bits);
        bits |= sign;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

struct Pair {
    float low, high;
};

#ifdef __CUDACC__

__device__ inline uint32_t halves_of(float low, float high) {
    __half2 halves = __floats2half2_rn(low, high);
    halves = __hfma2(halves, __float2half2_rn(0.0f), halves); // infinity times 0 is NaN; all else stays as it is
    return *reinterpret_cast<uint32_t *>(&halves);
}

__device__ inline Pair floats_of(uint32_t halves) {
    float2 floats = __half22float2(*reinterpret_cast<__half2 *>(&halves));
    return {floats.x, floats.y};
}

/// The larger of each; not a number if either is none.
__device__ inline uint32_t larger_halves(uint32_t a, uint32_t b) {
    uint32_t larger;
    asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(larger) : "r"(a), "r"(b));
    return larger;
}

/// max(value, 0), but what is no number stays none.
__device__ inline float rectified(float value) {
    float larger;
    asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(larger) : "f"(value));
    return larger;
}

#else

inline uint32_t halves_of(float low, float high) {
    return half_of(low) | uint32_t(half_of(high)) << 16;
}

inline Pair floats_of(uint32_t halves) {
    return {float_of(uint16_t(halves)), float_of(uint16_t(halves >> 16))};
}

inline uint32_t larger_halves(uint32_t a, uint32_t b) {
    auto larger = [](float x, float y) { return x != x || x > y ? x : y; };
    Pair p = floats_of(a), q = floats_of(b);
    return halves_of(larger(p.low, q.low), larger(p.high, q.high));
}

inline float rectified(float value) {
    return value > 0 || value != value ? value : 0;
}

#endif

} // namespace spinect
