// 3×3×3 convolution in f32: the reference beside the tensor cores.
//
// A block computes a brick of 4×8×8 voxels × 32 outputs, a thread 8 voxels of a row × 8 outputs. Slices of 8 input channels
// are copied to shared memory with their halo and weights; a row of ten inputs then serves three taps.

#pragma once

#include "brick.cuh"
#include "half.cuh"

namespace spinect {

constexpr int f32_slice = 8, f32_columns = 32;

struct Convolution32Memory {
    static constexpr int halo = LargeBrick::positions; // floats per channel
    static constexpr int weights = f32_slice * halo;   // where they begin, in floats
    static constexpr int weights_of_slice = 27 * f32_slice * f32_columns;
    static constexpr int bytes = (weights + weights_of_slice) * 4;
};

struct alignas(16) Four {
    float values[4];
};

/// One slice of the halo: [channel][position]. Whoever reads rows of ten finds them at even places.
__device__ inline void copy_halo_f32(const spinect_convolution_arguments &a, Cell first, int slice, float *halo) {
    int slices_of_first = padded(a.first_channels) / f32_slice;
    bool second = slice >= slices_of_first;
    const float *source = static_cast<const float *>(second ? a.second : a.first);
    int channels = padded(second ? a.second_channels : a.first_channels);
    int first_channel = (second ? slice - slices_of_first : slice) * f32_slice;
    for (int piece = int(threadIdx.x); piece < LargeBrick::positions * 2; piece += threads) {
        int position = piece / 2, channel = piece % 2 * 4;
        Cell cell = LargeBrick::cell_at(position);
        int d = first.d + cell.d, h = first.h + cell.h, w = first.w + cell.w;
        Four four = {};
        if (within(a.shape, d, h, w)) {
            int64_t voxel = first.window * voxels(a.shape) + place(a.shape, d, h, w);
            four = *reinterpret_cast<const Four *>(source + voxel * channels + first_channel + channel);
        }
        for (int i = 0; i < 4; ++i) halo[(channel + i) * Convolution32Memory::halo + position] = four.values[i];
    }
}

__global__ void __launch_bounds__(threads)
    convolve_f32(const __grid_constant__ spinect_convolution_arguments a, const __grid_constant__ Bricks bricks) {
    using Memory = Convolution32Memory;
    float *halo = reinterpret_cast<float *>(shared_memory()), *weights = halo + Memory::weights;
    int column_blocks = ceil_div(padded(a.outputs), f32_columns);
    int column_block = int(blockIdx.x) % column_blocks;
    Cell first = origin<LargeBrick>(bricks, int(blockIdx.x) / column_blocks);
    int slices = (padded(a.first_channels) + padded(a.second_channels)) / f32_slice;
    const Four *packed = static_cast<const Four *>(a.packed) + int64_t(column_block) * slices * (Memory::weights_of_slice / 4);
    // This thread's outputs and row of voxels.
    int group = int(threadIdx.x) % 4, d = int(threadIdx.x) / 4 / LargeBrick::h, h = int(threadIdx.x) / 4 % LargeBrick::h;
    float sums[8][8] = {};

    for (int slice = 0; slice < slices; ++slice) {
        copy_halo_f32(a, first, slice, halo);
        for (int piece = int(threadIdx.x); piece < Memory::weights_of_slice / 4; piece += threads) {
            reinterpret_cast<Four *>(weights)[piece] = packed[int64_t(slice) * (Memory::weights_of_slice / 4) + piece];
        }
        __syncthreads();
        for (int channel = 0; channel < f32_slice; ++channel) {
#pragma unroll
            for (int kd = 0; kd < 3; ++kd) {
#pragma unroll
                for (int kh = 0; kh < 3; ++kh) {
                    const float *row = halo + channel * Memory::halo + LargeBrick::position({0, d + kd - 1, h + kh - 1, -1});
                    float inputs[10];
#pragma unroll
                    for (int i = 0; i < 10; i += 2) {
                        Pair pair = *reinterpret_cast<const Pair *>(row + i);
                        inputs[i] = pair.low;
                        inputs[i + 1] = pair.high;
                    }
#pragma unroll
                    for (int kw = 0; kw < 3; ++kw) {
                        int tap = tap_number({0, kd, kh, kw});
                        const Four *factors =
                            reinterpret_cast<const Four *>(weights + (tap * f32_slice + channel) * f32_columns + group * 8);
#pragma unroll
                        for (int half = 0; half < 2; ++half) {
                            Four four = factors[half];
#pragma unroll
                            for (int voxel = 0; voxel < 8; ++voxel) {
#pragma unroll
                                for (int i = 0; i < 4; ++i) sums[voxel][half * 4 + i] += inputs[voxel + kw] * four.values[i];
                            }
                        }
                    }
                }
            }
        }
        __syncthreads();
    }

    int channels = padded(a.outputs), column = column_block * f32_columns + group * 8;
    if (column >= channels) return;
    for (int w = 0; w < LargeBrick::w; ++w) {
        if (!within(a.shape, first.d + d, first.h + h, first.w + w)) continue;
        int64_t voxel = first.window * voxels(a.shape) + place(a.shape, first.d + d, first.h + h, first.w + w);
        float *output = static_cast<float *>(a.output) + voxel * channels + column;
        for (int half = 0; half < 2; ++half) {
            Four four;
            for (int i = 0; i < 4; ++i) four.values[i] = rectified(sums[w][half * 4 + i] + a.bias[column + half * 4 + i]);
            reinterpret_cast<Four *>(output)[half] = four;
        }
    }
}

} // namespace spinect
