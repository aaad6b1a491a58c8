// Packing and launching transposed convolutions, and the f32 reference.

#include "upsample_f16.cuh"

using namespace spinect;

namespace {

/// f32: a block computes 64 input voxels × 64 columns, a thread 4 × 8; steps of 16 input channels.
constexpr int f32_threads = 128, f32_rows = 64, f32_columns = 64, f32_step = 16;
constexpr int f32_row_pitch = f32_step + 1; // rows begin in different banks
constexpr int f32_bytes = (f32_rows * f32_row_pitch + f32_step * f32_columns) * 4;

__global__ void __launch_bounds__(f32_threads) upsample_f32(const __grid_constant__ spinect_upsample_arguments a) {
    float *rows = reinterpret_cast<float *>(shared_memory()), *factors = rows + f32_rows * f32_row_pitch;
    int channels = padded(a.outputs), inputs = padded(a.inputs), columns = channels * 8;
    int column_blocks = columns / f32_columns;
    int first_column = int(blockIdx.x) % column_blocks * f32_columns;
    int64_t first_row = int64_t(int(blockIdx.x) / column_blocks) * f32_rows, count = a.windows * voxels(a.shape);
    const float *input = static_cast<const float *>(a.input), *packed = static_cast<const float *>(a.packed);
    int group = int(threadIdx.x) % 8, quad = int(threadIdx.x) / 8;
    float sums[4][8] = {};
    for (int first = 0; first < inputs; first += f32_step) {
        for (int i = int(threadIdx.x); i < f32_rows * f32_step; i += f32_threads) {
            int row = i / f32_step, channel = i % f32_step;
            rows[row * f32_row_pitch + channel] =
                first_row + row < count ? input[(first_row + row) * inputs + first + channel] : 0;
        }
        for (int i = int(threadIdx.x); i < f32_step * f32_columns; i += f32_threads) {
            factors[i] = packed[int64_t(first + i / f32_columns) * columns + first_column + i % f32_columns];
        }
        __syncthreads();
#pragma unroll
        for (int channel = 0; channel < f32_step; ++channel) {
#pragma unroll
            for (int voxel = 0; voxel < 4; ++voxel) {
                float value = rows[(quad * 4 + voxel) * f32_row_pitch + channel];
#pragma unroll
                for (int i = 0; i < 8; ++i) sums[voxel][i] += value * factors[channel * f32_columns + i * 8 + group];
            }
        }
        __syncthreads();
    }
    for (int voxel = 0; voxel < 4; ++voxel) {
        int64_t row = first_row + quad * 4 + voxel;
        if (row >= count) break;
        for (int i = 0; i < 8; ++i) {
            int column = first_column + i * 8 + group, output = column % channels;
            static_cast<float *>(a.output)[corner_of(a.shape, row, column / channels) * channels + output] =
                sums[voxel][i] + a.bias[output];
        }
    }
}

/// The weight of an input for column [corner][output], 0 in the padding.
float factor(int inputs, int outputs, const float *weight, int input, int column) {
    int corner = column / padded(outputs), output = column % padded(outputs);
    return input < inputs && output < outputs ? weight[(int64_t(input) * outputs + output) * 8 + corner] : 0;
}

} // namespace

size_t spinect_upsample_bytes(spinect_precision precision, int32_t inputs, int32_t outputs) {
    return size_t(padded(inputs)) * size_t(padded(outputs)) * 8 * (precision == SPINECT_F16 ? 2 : 4);
}

/// Packed, f16: [32 columns][16 inputs][a tile of tensor-core factors]; f32: [input][column].
void spinect_upsample_pack(spinect_precision precision, int32_t inputs, int32_t outputs, const float *weight, void *packed) {
    int columns = padded(outputs) * 8;
    if (precision == SPINECT_F32) {
        float *to = static_cast<float *>(packed);
        for (int input = 0; input < padded(inputs); ++input) {
            for (int column = 0; column < columns; ++column) *to++ = factor(inputs, outputs, weight, input, column);
        }
        return;
    }
    uint16_t *to = static_cast<uint16_t *>(packed);
    for (int tile = 0; tile < columns / tile_columns; ++tile) {
        for (int first = 0; first < padded(inputs); first += 16) {
            for (int place = 0; place < tile_halves; ++place) {
                Entry entry = entry_of_tile(place);
                *to++ = half_of(factor(inputs, outputs, weight, first + entry.row, tile * tile_columns + entry.column));
            }
        }
    }
}

int spinect_upsample(const spinect_upsample_arguments *arguments, spinect_stream stream) {
    const spinect_upsample_arguments &a = *arguments;
    if (a.windows < 0 || !positive(a.shape) || a.inputs <= 0 || a.outputs <= 0) return invalid_value;
    int64_t rows = a.windows * voxels(a.shape), columns = padded(a.outputs) * 8;
    if (a.precision == SPINECT_F16) {
        int64_t blocks = ceil_div<int64_t>(rows, Upsample16::rows) * (columns / Upsample16::columns);
        return launch(upsample_f16, blocks, Upsample16::threads, Upsample16::bytes, stream, a);
    }
    int64_t blocks = ceil_div<int64_t>(rows, f32_rows) * (columns / f32_columns);
    return launch(upsample_f32, blocks, f32_threads, f32_bytes, stream, a);
}
