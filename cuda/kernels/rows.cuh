// Kernels over a box of a grid: a block has a piece of one row along W, so that only W differs among its threads.

#pragma once

#include "extent.cuh"

namespace spinect {

constexpr int row_threads = 128;

struct Box {
    spinect_extent first, size;
    int pieces; // of a row

    SPINECT_BOTH int64_t blocks() const { return int64_t(size.d) * size.h * pieces; }
};

SPINECT_BOTH constexpr Box box_of(spinect_extent first, spinect_extent last) {
    return {first, {last.d - first.d, last.h - first.h, last.w - first.w}, ceil_div(last.w - first.w, row_threads)};
}

/// Whether first <= last <= grid.
SPINECT_BOTH constexpr bool is_part(spinect_extent grid, spinect_extent first, spinect_extent last) {
    return 0 <= first.d && first.d <= last.d && last.d <= grid.d && 0 <= first.h && first.h <= last.h && last.h <= grid.h &&
           0 <= first.w && first.w <= last.w && last.w <= grid.w;
}

struct Voxel {
    int d, h, w;
    bool inside; // of the box
};

/// The voxel of the grid that this thread has.
__device__ inline Voxel voxel_of(const Box &box) {
    int row = int(blockIdx.x) / box.pieces, w = int(blockIdx.x) % box.pieces * row_threads + int(threadIdx.x);
    return {box.first.d + row / box.size.h, box.first.h + row % box.size.h, box.first.w + w, w < box.size.w};
}

} // namespace spinect
