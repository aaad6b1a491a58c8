// What convolution and upsampling share: a warp's 64 rows × 32 or 64 columns of sums, and the way from there to memory.

#pragma once

#include "extent.cuh"
#include "half.cuh"
#include "mma.cuh"

namespace spinect {

template <int Columns>
struct WarpTile {
    /// [16 rows each][8 columns each][register]
    float sums[4][Columns / 8][4];
};

template <int Columns>
__device__ inline void clear(WarpTile<Columns> &tile) {
#pragma unroll
    for (int rows = 0; rows < 4; ++rows) {
#pragma unroll
        for (int columns = 0; columns < Columns / 8; ++columns) {
#pragma unroll
            for (int index = 0; index < 4; ++index) tile.sums[rows][columns][index] = 0;
        }
    }
}

/// The columns of B for one step of 16 along the reduction.
template <int Columns>
struct Factors {
    uint32_t pairs[Columns / 16][4];
};

/// From tiles of 32 columns that lie `apart` bytes apart.
template <int Columns>
__device__ inline void load(Factors<Columns> &factors, uint32_t address, uint32_t apart) {
    uint32_t lane = threadIdx.x % 32;
#pragma unroll
    for (int pair = 0; pair < Columns / 16; ++pair)
        load_shared(factors.pairs[pair], address + pair / 2 * apart + pair % 2 * 512 + lane * 16);
}

template <int Columns>
__device__ inline void multiply(WarpTile<Columns> &tile, int rows, const uint32_t (&a)[4], const Factors<Columns> &factors) {
#pragma unroll
    for (int columns = 0; columns < Columns / 8; ++columns) {
        const uint32_t (&pair)[4] = factors.pairs[columns / 2];
        multiply(tile.sums[rows][columns], a, pair[columns % 2 * 2], pair[columns % 2 * 2 + 1]);
    }
}

/// The block's results in shared memory, as halves: rows padded by 16 bytes, so that the eight rows which a warp writes at
/// once lie in different banks.
template <int Columns>
struct ResultTile {
    static constexpr int row_bytes = Columns * 2 + 16;
    static constexpr int bytes(int rows) { return rows * row_bytes; }
};

/// Adds the bias, rectifies if asked to, rounds, and writes the warp's rows. `bias`: of each eight columns, the two that
/// this lane has sums of.
template <int Columns, bool Rectify>
__device__ inline void store(const WarpTile<Columns> &tile, const float (&bias)[Columns / 4], char *results) {
    int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * 64;
#pragma unroll
    for (int columns = 0; columns < Columns / 8; ++columns) {
        int column = columns * 8 + entry_of_sums(lane, 0).column;
#pragma unroll
        for (int rows = 0; rows < 4; ++rows) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float first = tile.sums[rows][columns][half * 2] + bias[columns * 2];
                float second = tile.sums[rows][columns][half * 2 + 1] + bias[columns * 2 + 1];
                uint32_t halves = Rectify ? halves_of(rectified(first), rectified(second)) : halves_of(first, second);
                int row = first_row + rows * 16 + entry_of_sums(lane, half * 2).row;
                *reinterpret_cast<uint32_t *>(results + row * ResultTile<Columns>::row_bytes + column * 2) = halves;
            }
        }
    }
}

/// Eight halves.
struct alignas(16) Eight {
    uint32_t pairs[4];
};

template <int Columns>
__device__ inline Eight eight_of(const char *results, int row, int eighth) {
    return *reinterpret_cast<const Eight *>(results + row * ResultTile<Columns>::row_bytes + eighth * 16);
}

} // namespace spinect
