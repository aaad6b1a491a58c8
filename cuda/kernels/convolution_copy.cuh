// What a block of the tensor-core convolution has in shared memory, and how it gets there.
//
//   two times a slice of 16 channels of brick and halo, [eighth of 8 channels: 2][position][16 bytes]
//   three times a step's weights, [32 outputs each][tap: 3][a tile of factors]
//   where the voxel of each position lies in its feature map
//
// In the end the results take the place of the slices.

#pragma once

#include "async_copy.cuh"
#include "brick.cuh"
#include "warp_tile.cuh"

namespace spinect {

constexpr int slice_channels = 16;
constexpr int taps_across = 9, taps_along = 3;

SPINECT_BOTH constexpr int slices_of(int channels) {
    return ceil_div(channels, slice_channels);
}

template <class Brick, int Columns>
struct ConvolutionMemory {
    /// 4 modulo 8: then also the two eighths of neighbors, written together, lie in different banks.
    static constexpr int eighth = (Brick::positions + 3) / 8 * 8 + 4;
    static constexpr int halo = (eighth + Brick::positions) * 16;
    static constexpr int step = taps_along * Columns / tile_columns * tile_bytes;
    static constexpr int weights = 2 * halo, places = weights + 3 * step, bytes = places + Brick::positions * 4;
    static_assert(eighth >= Brick::positions && eighth % 8 == 4);
    static_assert(ResultTile<Columns>::bytes(Brick::rows) <= places);
};

/// For each position of brick and halo, its voxel's place among those of the brick's windows, or -1 for zero. 32 bits do:
/// windows that are taken together are small.
template <class Brick>
__device__ inline void find_places(const spinect_convolution_arguments &a, Cell first, int *places) {
    for (int position = int(threadIdx.x); position < Brick::positions; position += threads) {
        Cell cell = Brick::cell_at(position);
        int d = first.d + cell.d, h = first.h + cell.h, w = first.w + cell.w;
        bool inside = first.window + cell.window < a.windows && within(a.shape, d, h, w);
        places[position] = inside ? int(cell.window * voxels(a.shape) + place(a.shape, d, h, w)) : -1;
    }
}

/// A slice of one of the sources: its first channel at voxel 0 of the brick's first window, and from a voxel to the next.
struct Slice {
    const char *from;
    int voxel_bytes;

    __device__ Slice(const spinect_convolution_arguments &a, int window, int slice) {
        int of_first = slices_of(a.first_channels);
        bool second = slice >= of_first;
        voxel_bytes = padded(second ? a.second_channels : a.first_channels) * 2;
        from = static_cast<const char *>(second ? a.second : a.first) + window * voxels(a.shape) * voxel_bytes +
               (second ? slice - of_first : slice) * slice_channels * 2;
    }
};

/// A round copies 16 bytes per thread.
template <class Brick>
constexpr int halo_rounds = ceil_div(2 * Brick::positions, threads);

template <class Brick>
__device__ inline void copy_halo(const Slice &slice, const int *places, int round, uint32_t to, int eighth_positions) {
    int position = round * (threads / 2) + int(threadIdx.x) / 2, eighth = int(threadIdx.x) % 2;
    if (position >= Brick::positions) return;
    int place = places[position];
    bool inside = place >= 0;
    copy_async(to + (eighth * eighth_positions + position) * 16,
               slice.from + int64_t(inside ? place : 0) * slice.voxel_bytes + eighth * 16, inside);
}

/// This thread's pieces of every step's weights, 16 bytes each.
template <class Brick, int Columns>
struct WeightPieces {
    static constexpr int of_tile = tile_bytes / 16, count = taps_along * of_tile * (Columns / tile_columns),
                         rounds = ceil_div(count, threads);
    /// In slice 0, step 0.
    const char *from[rounds];

    __device__ WeightPieces(const spinect_convolution_arguments &a, int slices, int column_block) {
#pragma unroll
        for (int round = 0; round < rounds; ++round) {
            int piece = round * threads + int(threadIdx.x);
            int along = piece / of_tile % taps_along,
                tile = piece / of_tile / taps_along + column_block * (Columns / tile_columns);
            int64_t number = int64_t(tile) * slices * 27 + tap_number(Brick::tap(along, 0));
            from[round] = static_cast<const char *>(a.packed) + number * tile_bytes + piece % of_tile * 16;
        }
    }

    __device__ void copy(int slice, int across, uint32_t to) const {
        int64_t offset = int64_t(slice * 27 + tap_number(Brick::tap(0, across))) * tile_bytes;
#pragma unroll
        for (int round = 0; round < rounds; ++round) {
            int piece = round * threads + int(threadIdx.x);
            if (count % threads == 0 || piece < count) copy_async(to + piece * 16, from[round] + offset, true);
        }
    }
};

} // namespace spinect
