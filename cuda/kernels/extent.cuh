// Sizes and offsets. Offsets are 64 bits wide: thousands of windows hold more than 2^32 numbers.

#pragma once

#include "device.cuh"

namespace spinect {

template <class T>
SPINECT_BOTH constexpr T ceil_div(T a, T b) {
    return (a + b - 1) / b;
}

/// Channels as they lie in memory.
SPINECT_BOTH constexpr int padded(int channels) {
    return ceil_div(channels, int(SPINECT_CHANNEL_BLOCK)) * SPINECT_CHANNEL_BLOCK;
}

SPINECT_BOTH constexpr int64_t voxels(spinect_extent extent) {
    return int64_t(extent.d) * extent.h * extent.w;
}

/// The place of a voxel among `voxels(extent)`.
SPINECT_BOTH constexpr int64_t place(spinect_extent extent, int d, int h, int w) {
    return (int64_t(d) * extent.h + h) * extent.w + w;
}

SPINECT_BOTH constexpr bool within(spinect_extent extent, int d, int h, int w) {
    return unsigned(d) < unsigned(extent.d) && unsigned(h) < unsigned(extent.h) && unsigned(w) < unsigned(extent.w);
}

SPINECT_BOTH constexpr bool positive(spinect_extent extent) {
    return extent.d > 0 && extent.h > 0 && extent.w > 0;
}

} // namespace spinect
