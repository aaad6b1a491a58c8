// 2×2×2 transposed convolution of stride 2 on tensor cores: every input voxel makes 8 output voxels, so it is a GEMM of
// voxels × inputs and inputs × (8 corners · outputs), and a shuffle when results are written.
//
// A block computes 256 input voxels × 64 columns. Steps of 16 input channels come through a ring of four places.
// A step in shared memory: rows [eighth of 8 channels: 2][row][16 bytes], then two tiles of factors.

#pragma once

#include "async_copy.cuh"
#include "warp_tile.cuh"

namespace spinect {

struct Upsample16 {
    static constexpr int threads = 128, rows = 256, columns = 64, places = 4;
    static constexpr int eighth = rows + 4; // 4 modulo 8: see ConvolutionMemory
    static constexpr int factors = 2 * eighth * 16, step = factors + columns / tile_columns * tile_bytes;
    static constexpr int bytes = places * step;
    static_assert(ResultTile<columns>::bytes(rows) <= bytes);
};

/// The output voxel at corner `corner` (kd, kh, kw, the last fastest) of the input voxel at `place` of all windows'.
SPINECT_BOTH constexpr int64_t corner_of(spinect_extent shape, int64_t place, int corner) {
    int64_t row = place / shape.w, plane = row / shape.h;
    int w = int(place % shape.w), h = int(row % shape.h);
    // Windows lie one after the other along D.
    return ((plane * 2 + corner / 4) * (shape.h * 2) + h * 2 + corner / 2 % 2) * (shape.w * 2) + w * 2 + corner % 2;
}

/// Copies step `slice` of the reduction.
__device__ inline void copy_step(const spinect_upsample_arguments &a, int64_t first_row, int first_tile, int slices, int slice,
                                 uint32_t to) {
    using U = Upsample16;
    int64_t count = a.windows * voxels(a.shape);
    int channels = padded(a.inputs);
    const char *input = static_cast<const char *>(a.input), *packed = static_cast<const char *>(a.packed);
#pragma unroll
    for (int piece = int(threadIdx.x); piece < U::rows * 2; piece += U::threads) {
        int row = piece / 2, eighth = piece % 2;
        bool inside = first_row + row < count;
        int64_t voxel = inside ? first_row + row : 0;
        copy_async(to + (eighth * U::eighth + row) * 16, input + (voxel * channels + slice * 16 + eighth * 8) * 2, inside);
    }
    constexpr int pieces = tile_bytes / 16;
#pragma unroll
    for (int piece = int(threadIdx.x); piece < pieces * U::columns / tile_columns; piece += U::threads) {
        int64_t tile = int64_t(first_tile + piece / pieces) * slices + slice;
        copy_async(to + U::factors + piece * 16, packed + tile * tile_bytes + piece % pieces * 16, true);
    }
}

__global__ void __launch_bounds__(Upsample16::threads, 2) upsample_f16(const __grid_constant__ spinect_upsample_arguments a) {
    using U = Upsample16;
    char *memory = shared_memory();
    uint32_t base = shared_address(memory);
    int channels = padded(a.outputs), slices = padded(a.inputs) / 16;
    int column_blocks = channels * 8 / U::columns;
    int column_block = int(blockIdx.x) % column_blocks;
    int64_t first_row = int64_t(int(blockIdx.x) / column_blocks) * U::rows;
    auto copy = [&](int slice) {
        copy_step(a, first_row, column_block * (U::columns / tile_columns), slices, slice, base + slice % U::places * U::step);
    };

    for (int slice = 0; slice < U::places - 1; ++slice) {
        if (slice < slices) copy(slice);
        copy_async_commit();
    }
    WarpTile<U::columns> tile;
    clear(tile);
    int lane = threadIdx.x % 32;
    uint32_t row = base + (eighth_named_by(lane) * U::eighth + int(threadIdx.x) / 32 * 64 + row_named_by(lane)) * 16;
    for (int slice = 0; slice < slices; ++slice) {
        copy_async_wait<U::places - 2>();
        __syncthreads();
        if (slice + U::places - 1 < slices) copy(slice + U::places - 1);
        copy_async_commit();
        uint32_t place = slice % U::places * U::step;
        Factors<U::columns> factors;
        load(factors, base + place + U::factors, tile_bytes);
#pragma unroll
        for (int rows = 0; rows < 4; ++rows) {
            uint32_t registers[4];
            load_matrices(registers, row + place + rows * 256);
            multiply(tile, rows, registers, factors);
        }
    }
    __syncthreads();

    // Columns are [corner][output]; eight of them have the same corner, and the bias repeats with each.
    int first_column = column_block * U::columns;
    float bias[2 * (U::columns / 8)];
#pragma unroll
    for (int columns = 0; columns < U::columns / 8; ++columns) {
        int output = (first_column + columns * 8 + entry_of_sums(lane, 0).column) % channels;
        bias[columns * 2] = a.bias[output];
        bias[columns * 2 + 1] = a.bias[output + 1];
    }
    store<U::columns, false>(tile, bias, memory);
    __syncthreads();
    int64_t count = a.windows * voxels(a.shape);
    for (int piece = int(threadIdx.x); piece < U::rows * U::columns / 8; piece += U::threads) {
        int eighth = piece % (U::columns / 8), row = piece / (U::columns / 8), column = first_column + eighth * 8;
        if (first_row + row >= count) break;
        int64_t voxel = corner_of(a.shape, first_row + row, column / channels);
        *reinterpret_cast<Eight *>(static_cast<char *>(a.output) + (voxel * channels + column % channels) * 2) =
            eight_of<U::columns>(memory, row, eighth);
    }
}

} // namespace spinect
