// 3×3×3 convolution as an implicit GEMM on tensor cores.
//
// A block computes a brick of 256 voxels × 32 or 64 outputs. The reduction runs over slices of 16 input channels; of each,
// brick and halo are copied to shared memory once and serve all 27 taps. In a slice it runs over nine steps of three taps
// (those along the brick's stacked axis), whose weights follow through a ring of three places. All copies are asynchronous,
// two steps ahead: the next slice's halo arrives bit by bit while this one is multiplied. One barrier per step.

#pragma once

#include "convolution_copy.cuh"

namespace spinect {

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
        *reinterpret_cast<Eight *>(static_cast<char *>(a.output) + (voxel * channels + channel) * 2) =
            eight_of<Columns>(results, row, eighth);
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
__global__ void __launch_bounds__(threads, Columns == 32 ? 3 : 2)
    convolve_f16(const __grid_constant__ spinect_convolution_arguments a, const __grid_constant__ Bricks bricks) {
    using Memory = ConvolutionMemory<Brick, Columns>;
    char *memory = shared_memory();
    uint32_t base = shared_address(memory);
    int column_blocks = ceil_div(padded(a.outputs), Columns);
    int column_block = int(blockIdx.x) % column_blocks;
    Cell first = origin<Brick>(bricks, int(blockIdx.x) / column_blocks);
    int slices = slices_of(a.first_channels) + slices_of(a.second_channels);

    int *places = reinterpret_cast<int *>(memory + Memory::places);
    find_places<Brick>(a, first, places);
    __syncthreads();
    Slice next(a, first.window, 0);
#pragma unroll 1
    for (int round = 0; round < halo_rounds<Brick>; ++round) copy_halo<Brick>(next, places, round, base, Memory::eighth);
    const WeightPieces<Brick, Columns> pieces(a, slices, column_block);
    pieces.copy(0, 0, base + Memory::weights);
    copy_async_commit();
    pieces.copy(0, 1, base + Memory::weights + Memory::step);
    copy_async_commit();

    WarpTile<Columns> tile;
    clear(tile);
    int lane = threadIdx.x % 32;
    Cell cell = Brick::cell(int(threadIdx.x) / 32 * rows_of_warp + row_named_by(lane));
    // The voxel before the cell along each axis: tap (0, 0, 0).
    int position = Brick::position({cell.window, cell.d - 1, cell.h - 1, cell.w - 1});
    uint32_t row = base + (eighth_named_by(lane) * Memory::eighth + position) * 16;

#pragma unroll 1
    for (int slice = 0; slice < slices; ++slice) {
        bool more = slice + 1 < slices;
        uint32_t halo = slice % 2 * Memory::halo, other = Memory::halo - halo;
        if (more) next = Slice(a, first.window, slice + 1);
#pragma unroll
        for (int across = 0; across < taps_across; ++across) {
            copy_async_wait<1>();
            __syncthreads();
            // What the step before read is free now; so is, during a slice, the place of the next slice's halo.
            constexpr int ahead = 2;
            uint32_t to = base + Memory::weights + (across + ahead) % 3 * Memory::step;
            if (across + ahead < taps_across) pieces.copy(slice, across + ahead, to);
            else if (more) pieces.copy(slice + 1, across + ahead - taps_across, to);
            // Not in the last step: the first of the next slice waits only for what was begun two steps before it.
            if (more && across < taps_across - 1) {
#pragma unroll
                for (int round = across; round < halo_rounds<Brick>; round += taps_across - 1) {
                    copy_halo<Brick>(next, places, round, base + other, Memory::eighth);
                }
            }
            copy_async_commit();
            multiply_step<Brick, Columns>(tile, row + halo + tap_step<Brick>(Brick::tap(0, across)) * 16,
                                          base + Memory::weights + across % 3 * Memory::step);
        }
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
