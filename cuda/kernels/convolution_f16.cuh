// 3×3×3 convolution as an implicit GEMM on tensor cores.
//
// A block computes a brick of 256 voxels × 32 or 64 outputs. The reduction runs over slices of 16 input channels; of each,
// brick and halo are copied to shared memory once and serve all 27 taps. In a slice it runs over nine steps of three taps
// (those along the brick's stacked axis), whose weights follow through a ring of three places. All copies are asynchronous,
// two steps ahead: the next slice's halo arrives bit by bit while this one is multiplied. One barrier per step.
//
// Halo in shared memory: [eighth of 8 channels: 2][position][16 bytes].

#pragma once

#include "async_copy.cuh"
#include "brick.cuh"
#include "warp_tile.cuh"

namespace spinect {

constexpr int slice_channels = 16;
constexpr int taps_across = 9, taps_along = 3;
constexpr int places = 3;

template <class Brick, int Columns>
struct ConvolutionMemory {
    /// 4 modulo 8: then also the two eighths of neighbors, written together, lie in different banks.
    static constexpr int eighth = (Brick::positions + 3) / 8 * 8 + 4;
    static constexpr int halo = 2 * eighth * 16;
    static constexpr int step = taps_along * Columns / tile_columns * tile_bytes;
    static constexpr int weights = 2 * halo;
    static constexpr int bytes = weights + places * step;
    static_assert(eighth >= Brick::positions && eighth % 8 == 4);
    static_assert(ResultTile<Columns>::bytes(Brick::rows) <= bytes, "results take the place of what they come from");
};

/// Copies `round` (of `copy_rounds`) of one slice's brick and halo: 16 bytes per thread.
template <class Brick>
constexpr int copy_rounds = ceil_div(2 * Brick::positions, threads);

template <class Brick>
__device__ inline void copy_halo(const spinect_convolution_arguments &a, Cell first, int slice, int round, uint32_t to, int eighth_positions) {
    int piece = round * threads + int(threadIdx.x);
    if (piece >= 2 * Brick::positions) return;
    int position = piece / 2, eighth = piece % 2;
    int slices_of_first = ceil_div(a.first_channels, slice_channels);
    bool second = slice >= slices_of_first;
    const char *source = static_cast<const char *>(second ? a.second : a.first);
    int channels = padded(second ? a.second_channels : a.first_channels);
    int channel = (second ? slice - slices_of_first : slice) * slice_channels + eighth * 8;
    Cell cell = Brick::cell_at(position);
    int window = first.window + cell.window, d = first.d + cell.d, h = first.h + cell.h, w = first.w + cell.w;
    bool inside = window < a.windows && within(a.shape, d, h, w);
    int64_t voxel = inside ? window * voxels(a.shape) + place(a.shape, d, h, w) : 0;
    copy_async(to + (eighth * eighth_positions + position) * 16, source + (voxel * channels + channel) * 2, inside);
}

/// Copies the weights of step `across` of a slice: three taps of each 32 outputs.
template <class Brick, int Columns>
__device__ inline void copy_weights(const char *packed, int slices, int column_tile, int slice, int across, uint32_t to) {
    constexpr int pieces = tile_bytes / 16;
#pragma unroll
    for (int start = 0; start < taps_along * pieces * Columns / tile_columns; start += threads) {
        int piece = start + int(threadIdx.x);
        int along = piece / pieces % taps_along, tile = piece / pieces / taps_along;
        if (tile >= Columns / tile_columns) break;
        int tap = tap_number(Brick::tap(along, across));
        int64_t from = (int64_t(column_tile + tile) * slices + slice) * 27 + tap;
        copy_async(to + piece * 16, packed + from * tile_bytes + piece % pieces * 16, true);
    }
}

/// One step: three taps of 16 channels. `halo` is this lane's row for tap (0, `across`), `weights` the step's.
template <class Brick, int Columns>
__device__ inline void multiply_step(WarpTile<Columns> &tile, uint32_t halo, uint32_t weights) {
    Factors<Columns> factors[taps_along];
#pragma unroll
    for (int along = 0; along < taps_along; ++along) load(factors[along], weights + along * tile_bytes, taps_along * tile_bytes);
#pragma unroll
    for (int layer = 0; layer < stacked + taps_along - 1; ++layer) {
        uint32_t rows[4];
        load_matrices(rows, halo + layer * Brick::stack_step * 16);
#pragma unroll
        for (int along = 0; along < taps_along; ++along) {
            if (layer - along >= 0 && layer - along < stacked) multiply(tile, layer - along, rows, factors[along]);
        }
    }
}

/// Writes the brick's results to `output`, 16 bytes at a time. Zeros follow from zero weights and bias in padded channels.
template <class Brick, int Columns>
__device__ inline void write_results(const spinect_convolution_arguments &a, Cell first, int first_column, const char *results) {
    int channels = padded(a.outputs);
    for (int piece = int(threadIdx.x); piece < Brick::rows * Columns / 8; piece += threads) {
        int eighth = piece % (Columns / 8), row = piece / (Columns / 8), channel = first_column + eighth * 8;
        Cell cell = Brick::cell(row);
        int window = first.window + cell.window, d = first.d + cell.d, h = first.h + cell.h, w = first.w + cell.w;
        if (window >= a.windows || !within(a.shape, d, h, w) || channel >= channels) continue;
        int64_t voxel = window * voxels(a.shape) + place(a.shape, d, h, w);
        *reinterpret_cast<Eight *>(static_cast<char *>(a.output) + (voxel * channels + channel) * 2) = eight_of<Columns>(results, row, eighth);
    }
}

/// Writes the maxima of each 2×2×2 to `pooled`. Bricks begin at even voxels.
template <class Brick, int Columns>
__device__ inline void write_pooled(const spinect_convolution_arguments &a, Cell first, int first_column, const char *results) {
    static_assert(Brick::d % 2 == 0 && Brick::h % 2 == 0 && Brick::w % 2 == 0);
    constexpr int depth = Brick::d / 2, height = Brick::h / 2, width = Brick::w / 2;
    spinect_extent shape = {a.shape.d / 2, a.shape.h / 2, a.shape.w / 2};
    int channels = padded(a.outputs);
    for (int piece = int(threadIdx.x); piece < Brick::rows / 8 * Columns / 8; piece += threads) {
        int eighth = piece % (Columns / 8), voxel = piece / (Columns / 8), channel = first_column + eighth * 8;
        Cell half = {voxel / (depth * height * width), voxel / (height * width) % depth, voxel / width % height, voxel % width};
        int window = first.window + half.window, d = first.d / 2 + half.d, h = first.h / 2 + half.h, w = first.w / 2 + half.w;
        if (window >= a.windows || !within(shape, d, h, w) || channel >= channels) continue;
        Eight largest;
#pragma unroll
        for (int corner = 0; corner < 8; ++corner) {
            Cell cell = {half.window, half.d * 2 + corner / 4, half.h * 2 + corner / 2 % 2, half.w * 2 + corner % 2};
            Eight eight = eight_of<Columns>(results, Brick::row(cell), eighth);
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
                largest.pairs[pair] = corner == 0 ? eight.pairs[pair] : larger_halves(largest.pairs[pair], eight.pairs[pair]);
            }
        }
        int64_t to = window * voxels(shape) + place(shape, d, h, w);
        *reinterpret_cast<Eight *>(static_cast<char *>(a.pooled) + (to * channels + channel) * 2) = largest;
    }
}

template <class Brick, int Columns>
__global__ void __launch_bounds__(threads, Columns == 32 ? 4 : 2)
    convolve_f16(const __grid_constant__ spinect_convolution_arguments a, const __grid_constant__ Bricks bricks) {
    using Memory = ConvolutionMemory<Brick, Columns>;
    char *memory = shared_memory();
    uint32_t base = shared_address(memory);
    int column_blocks = ceil_div(padded(a.outputs), Columns);
    int column_block = int(blockIdx.x) % column_blocks;
    Cell first = origin<Brick>(bricks, int(blockIdx.x) / column_blocks);
    int slices = ceil_div(a.first_channels, slice_channels) + ceil_div(a.second_channels, slice_channels);
    int steps = slices * taps_across;
    const char *packed = static_cast<const char *>(a.packed);
    auto copy_step = [&](int slice, int across, int place) {
        copy_weights<Brick, Columns>(packed, slices, column_block * (Columns / tile_columns), slice, across,
                                     base + Memory::weights + place * Memory::step);
    };

#pragma unroll 1
    for (int round = 0; round < copy_rounds<Brick>; ++round) copy_halo<Brick>(a, first, 0, round, base, Memory::eighth);
    copy_step(0, 0, 0);
    copy_async_commit();
    copy_step(0, 1, 1);
    copy_async_commit();

    WarpTile<Columns> tile;
    clear(tile);
    int lane = threadIdx.x % 32;
    Cell cell = Brick::cell(int(threadIdx.x) / 32 * rows_of_warp + row_named_by(lane));
    // The voxel before the cell along each axis: tap (0, 0, 0).
    int position = Brick::position({cell.window, cell.d - 1, cell.h - 1, cell.w - 1});
    uint32_t row = base + (eighth_named_by(lane) * Memory::eighth + position) * 16;

    for (int step = 0, slice = 0, across = 0, place = 0; step < steps; ++step) {
        copy_async_wait<1>();
        __syncthreads();
        // What step - 1 read is free now; so is, during a slice, the place of the next slice's halo.
        if (step + 2 < steps) {
            bool wraps = across + 2 >= taps_across;
            copy_step(slice + wraps, wraps ? across + 2 - taps_across : across + 2, place == 0 ? 2 : place - 1);
        }
        // Not in the last step: the first of the next slice waits only for what was begun two steps before it.
        if (slice + 1 < slices && across < taps_across - 1) {
#pragma unroll 1
            for (int round = across; round < copy_rounds<Brick>; round += taps_across - 1) {
                copy_halo<Brick>(a, first, slice + 1, round, base + (slice + 1) % 2 * Memory::halo, Memory::eighth);
            }
        }
        copy_async_commit();
        multiply_step<Brick, Columns>(tile, row + slice % 2 * Memory::halo + tap_step<Brick>(Brick::tap(0, across)) * 16,
                                      base + Memory::weights + place * Memory::step);
        if (++across == taps_across) {
            across = 0;
            ++slice;
        }
        place = place == 2 ? 0 : place + 1;
    }
    __syncthreads();

    int first_column = column_block * Columns;
    float bias[Columns / 4];
#pragma unroll
    for (int columns = 0; columns < Columns / 8; ++columns) {
        int channel = first_column + columns * 8 + entry_of_sums(lane, 0).column;
        bool inside = channel < padded(a.outputs);
        bias[columns * 2] = inside ? a.bias[channel] : 0;
        bias[columns * 2 + 1] = inside ? a.bias[channel + 1] : 0;
    }
    store<Columns, true>(tile, bias, memory);
    __syncthreads();
    write_results<Brick, Columns>(a, first, first_column, memory);
    if (a.pooled) write_pooled<Brick, Columns>(a, first, first_column, memory);
}

} // namespace spinect
